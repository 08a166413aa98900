"""An hour of a market as a Parquet file, with the columns and the order that the lake's files have.

In: a market, a table and a time within the hour. Out: a file that Arrow writes, so that a busy hour needs no Python
object for any row. What is known of the hour is in the answer's headers and in the file's metadata.
"""

import io
from datetime import datetime
from http import HTTPStatus
from typing import Any

from flask import Blueprint, Response, request, send_file
from marshmallow import Schema

from admin.api.paging import asked_time
from admin.api.schemas import Known, known_of
from admin.web.database import LONGEST_QUERY, RequestDatabase, TooSlowError
from app.coverage.evidence import CHANNELS
from app.errors import DatabaseError
from app.ops.endpoint import checked_path, endpoint
from app.ops.problems import ProblemError
from app.postgres.connection import parameters
from app.postgres.dsn import Dsn
from app.runtime.threads import Offload
from kalshi_data.layout import EVENT_TABLES, HOUR, IDENTITY, hour_of
from kalshi_data.schema import ROW_GROUP_ROWS, encodings, schema_of

PARQUET = "application/vnd.apache.parquet"
QUERY_CANCELED = "57014"


class HourQuery(Schema):
    hour = asked_time(required=True)


def market_hour_blueprint(database: RequestDatabase, dsn: Dsn | None, offload: Offload) -> Blueprint:
    blueprint = Blueprint("market_hour", __name__, url_prefix="/admin/markets/<ticker>")
    query = HourQuery()

    @blueprint.get("/hour/<table>")
    @endpoint(
        "An hour of a market as Parquet, as the lake has it: of `orderbook_deltas`, `trades`, `tickers`, "
        "`orderbook_snapshots` or `lifecycle_events`.",
        query=HourQuery,
        types=(PARQUET,),
    )
    def hour(ticker: str, table: str) -> Response:
        asked = checked_path({"ticker": ticker, "table": table})
        if table not in EVENT_TABLES:
            raise ProblemError(HTTPStatus.NOT_FOUND, f"There is no table {table}: there are {', '.join(EVENT_TABLES)}.")
        start = hour_of(query.load(request.args)["hour"])
        known = known_of(database, CHANNELS[table][0], {**asked, "from": start, "to": start + HOUR})
        if dsn is None:
            raise DatabaseError("KALSHI_PRODUCTION_DSN is not set.")
        file = offload(_written, dsn, table, ticker, start, known)
        name = f"{ticker}-{table}-{start:%Y-%m-%dT%H}.parquet"
        answer = send_file(file, PARQUET, as_attachment=True, download_name=name, max_age=0)
        answer.headers.update(known.headers())
        return answer

    return blueprint


def _written(dsn: Dsn, table: str, ticker: str, start: datetime, known: Known) -> io.BytesIO:
    """Return the file. A row takes about eight bytes of it."""
    # Arrow's files and its driver take a while to load, and most people that this service answers want no file.
    from adbc_driver_postgresql import dbapi  # noqa: PLC0415
    from pyarrow import parquet  # noqa: PLC0415

    schema = schema_of(table)
    schema = schema.with_metadata({**schema.metadata, **{k.lower(): v for k, v in known.headers().items()}})
    order = IDENTITY[table]
    time = order[1]
    statement = (
        f"SELECT {', '.join(schema.names)} FROM {table} "  # noqa: S608 - names of our own tables
        f"WHERE ticker = $1 AND {time} >= $2::TIMESTAMPTZ AND {time} < $3::TIMESTAMPTZ ORDER BY {', '.join(order)}"
    )
    bounds: tuple[Any, ...] = (ticker, start.isoformat(), (start + HOUR).isoformat())
    file = io.BytesIO()
    try:
        with dbapi.connect(parameters(dsn, "admin")) as connection, connection.cursor() as cursor:
            cursor.execute(LONGEST_QUERY)
            cursor.execute(statement, bounds)
            with (
                cursor.fetch_record_batch() as rows,
                parquet.ParquetWriter(file, schema, **encodings(schema)) as writer,
            ):
                for batch in rows:
                    writer.write_batch(batch.cast(schema), ROW_GROUP_ROWS)
    except dbapi.Error as error:
        if error.sqlstate == QUERY_CANCELED:
            raise TooSlowError("The query takes too long.", str(error).strip()) from error
        raise DatabaseError("The database failed during a query.", str(error).strip()) from error
    file.seek(0)
    return file
