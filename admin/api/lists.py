"""Serve every list over HTTP: page by page as JSON, or any number of rows as CSV or NDJSON."""

import csv
import hashlib
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from http import HTTPStatus
from itertools import chain
from typing import Any

import msgspec
import pyarrow as pa
from flask import Blueprint, Response, request
from pyarrow import ipc

from admin.api.listings import LISTINGS
from admin.api.paging import (
    ARROW,
    FORMATS,
    MOST_STREAMED_ROWS,
    Listing,
    ListPage,
    batches,
    one_page,
    page_limit,
    pages,
)
from admin.api.schemas import Known, known_of, known_of_records
from admin.web.database import RequestDatabase
from app.ops.endpoint import JSON, checked_path, endpoint
from kalshi_data.schema import schema_of

# Answers in JSON, and streams of lines for many rows.

CSV = "text/csv"
NDJSON = "application/x-ndjson"
# The last four are the full-width forms of the first four.
FORMULA_BEGINNINGS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")
ARROW_STREAM = "application/vnd.apache.arrow.stream"
TYPES = {"json": JSON, "csv": CSV, "ndjson": NDJSON, ARROW: ARROW_STREAM}


def json_answer(body: object, status: HTTPStatus = HTTPStatus.OK) -> Response:
    """Return the answer for a value, or for bytes that already are JSON."""
    content = body if isinstance(body, bytes) else msgspec.json.encode(body)
    answer = Response(content, status, mimetype=JSON)
    # Weak: the compressed and the plain answer have different bytes, but the same content.
    answer.set_etag(hashlib.blake2b(content, digest_size=16).hexdigest(), weak=True)
    return answer


def wanted_format(asked: str | None, formats: Sequence[str] = FORMATS) -> str:
    if asked is not None:
        return asked
    best = request.accept_mimetypes.best_match([TYPES[name] for name in formats], JSON)
    return next(name for name, kind in TYPES.items() if kind == best)


def lines(listing: Listing, form: str, pages: Iterator[ListPage], is_exact: bool) -> Response:
    """Return a stream of lines. The first page is read before anything is sent, so that a query's error still can be
    answered with a problem."""
    names = [column.name for column in listing.columns]
    rows = (page.rows for page in chain([next(pages)], pages))
    return stream(csv_lines(names, rows, is_exact) if form == "csv" else ndjson_lines(rows), form, listing.name)


def arrow(listing: Listing, found: Iterator[list[tuple[Any, ...]]], schema: pa.Schema) -> Response:
    """Return a stream of Arrow record batches."""
    found = chain([next(found)], found)
    return stream(arrow_batches((_batch(rows, schema) for rows in found), schema), ARROW, listing.name)


def stream(written: Iterator[str] | Iterator[bytes], form: str, name: str) -> Response:
    answer = Response(written, mimetype=TYPES[form])
    answer.headers["Content-Disposition"] = f'attachment; filename="{name}.{form}"'
    return answer


def arrow_batches(written: Iterable[pa.RecordBatch], schema: pa.Schema) -> Iterator[bytes]:
    """Yield the batches as an Arrow IPC stream, piece by piece."""
    sink = io.BytesIO()
    with ipc.new_stream(sink, schema, options=ipc.IpcWriteOptions(compression="zstd")) as writer:
        for batch in written:
            writer.write_batch(batch)
            yield sink.getvalue()
            sink.seek(0)
            sink.truncate()
    yield sink.getvalue()


def _batch(rows: list[tuple[Any, ...]], schema: pa.Schema) -> pa.RecordBatch:
    columns = zip(*rows, strict=True) if rows else [()] * len(schema)
    arrays = [_array(column, field.type) for column, field in zip(columns, schema, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _array(values: tuple[Any, ...], kind: pa.DataType) -> pa.Array:
    # Digests are selected as text.
    is_text = pa.types.is_integer(kind) and isinstance(values[0] if values else None, str)
    return pa.array(values, pa.string()).cast(kind) if is_text else pa.array(values, kind)


def ndjson_lines(pages: Iterable[list[str]]) -> Iterator[str]:
    for rows in pages:
        yield "".join(f"{row}\n" for row in rows)


def csv_lines(names: list[str], pages: Iterable[list[str]], is_exact: bool) -> Iterator[str]:
    cell = _exact if is_exact else _without_formula
    yield ",".join(names) + "\r\n"
    for rows in pages:
        text = io.StringIO()
        writer = csv.writer(text)
        for row in rows:
            values = msgspec.json.decode(row)
            writer.writerow([cell(values[name]) for name in names])
        yield text.getvalue()


def _exact(value: object) -> object:
    return msgspec.json.encode(value).decode() if isinstance(value, list | dict | bool) else value


def _without_formula(value: object) -> object:
    """Prefix text that a spreadsheet would run as a formula. Titles come from the exchange, so they are untrusted."""
    is_formula = isinstance(value, str) and value.startswith(FORMULA_BEGINNINGS) and not NUMBER.fullmatch(value)
    return f"'{value}" if is_formula else _exact(value)


def lists_blueprint(database: RequestDatabase) -> Blueprint:
    blueprint = Blueprint("lists", __name__, url_prefix="/admin")
    for listing in LISTINGS:
        _add(blueprint, database, listing)
    return blueprint


def _add(blueprint: Blueprint, database: RequestDatabase, listing: Listing) -> None:
    schema = listing.query_schema()
    query = schema()

    @blueprint.get(listing.path, endpoint=listing.name)
    @endpoint(
        listing.summary,
        listing.role,
        schema,
        answer=listing.page_schema(),
        types=tuple(TYPES[name] for name in listing.formats),
    )
    def rows(**path: str) -> Response:
        asked = {**query.load(request.args), **checked_path(path)}
        form = wanted_format(asked["format"], listing.formats)
        known = _known(database, listing, asked)
        if form == "json":
            page = one_page(database, listing, asked, page_limit(asked["limit"]))
            return json_answer(page.body(listing.rows_name, **(known._asdict() if known else {})))
        most = asked["limit"] or MOST_STREAMED_ROWS
        if form == ARROW:
            answer = arrow(listing, batches(database, listing, asked, most), schema_of(listing.table or ""))
        else:
            answer = lines(listing, form, pages(database, listing, asked, most), is_exact=asked["exact"])
        answer.headers.update(known.headers() if known else {})
        return answer


def _known(database: RequestDatabase, listing: Listing, asked: Mapping[str, Any]) -> Known | None:
    if listing.channel is None:
        return None
    return (known_of if "<ticker>" in listing.path else known_of_records)(database, listing.channel, asked)
