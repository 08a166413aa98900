"""Order books over time, and what a name means: what programs need beside the lists of records.

In: a market, a time and a step; or a name. Out: the book of each step, made by the library's own replay over the rows
of production, a piece at a time; the kind of the name, or names that are near it.
"""

import difflib
from collections.abc import Iterator
from datetime import datetime
from http import HTTPStatus
from itertools import chain, islice
from typing import Any

import msgspec
import pyarrow as pa
from flask import Blueprint, Response, request
from marshmallow import Schema, ValidationError, fields
from marshmallow.validate import OneOf

from admin.api.lists import TYPES, arrow_batches, csv_lines, json_answer, ndjson_lines, stream, wanted_format
from admin.api.paging import ARROW, EXACT, FORMATS, MOST_ROWS, asked_time
from admin.api.schemas import KNOWN_FIELDS, known_of
from admin.web.database import RequestDatabase
from app.coverage.queries import judgements
from app.errors import DatabaseError
from app.ops.endpoint import NoQuery, TimeRange, checked_path, endpoint
from app.ops.problems import ProblemError
from kalshi_data.books import SNAPSHOT_COLUMNS, Book, MarketRecord, snapshot_of
from kalshi_data.coverage import BOOKS, Coverage, coverage_from
from kalshi_data.errors import LakeError
from kalshi_data.layout import DELTAS
from kalshi_data.order_book import BookChange, BookSnapshot
from kalshi_data.replay import Steps, replay
from kalshi_data.schema import INT, LONG, TEXT, TIME, schema_of
from kalshi_data.times import Interval, step_of

MOST_BOOKS = 100_000
MOST_CHANGES = 1_000_000  # between two snapshots whose order is in doubt: all of them are held in memory
PART_CHANGES = 20_000
PIECE_BOOKS = 500

BOOK_ROWS = pa.schema(
    [
        *(pa.field("at", TIME), pa.field("state", TEXT), pa.field("based_on", TIME), pa.field("source", TEXT)),
        *(
            pa.field("changes", LONG),
            pa.field("yes_prices_e6", pa.list_(INT)),
            pa.field("yes_sizes_e2", pa.list_(LONG)),
        ),
        *(pa.field("no_prices_e6", pa.list_(INT)), pa.field("no_sizes_e2", pa.list_(LONG))),
        *(pa.field("reset_from", pa.list_(TIME)), pa.field("reset_until", pa.list_(TIME))),
    ]
)

LAST_SNAPSHOT = f"""
    SELECT {", ".join(SNAPSHOT_COLUMNS)} FROM last_snapshot(%(ticker)s, coalesce((
        SELECT dropped_through + latest_stamp() FROM chunked_tables WHERE table_name = 'orderbook_deltas'
    ), '-infinity'), %(until)s) AS s
    WHERE s.ticker IS NOT NULL
"""  # noqa: S608 - constants
BETWEEN_SNAPSHOTS = f"""
    SELECT {", ".join(SNAPSHOT_COLUMNS)} FROM orderbook_snapshots
    WHERE ticker = %(ticker)s AND snapshot_ts >= %(since)s AND snapshot_ts <= %(until)s AND yes_prices_e6 IS NOT NULL
    ORDER BY snapshot_ts
"""  # noqa: S608 - constants
CHANGES = f"""
    SELECT {", ".join(BookChange._fields)} FROM orderbook_deltas
    WHERE ticker = %(ticker)s AND exchange_ts > %(after)s AND exchange_ts <= %(until)s
    ORDER BY exchange_ts LIMIT %(limit)s
"""  # noqa: S608 - constants
JUDGED = f"""
    SELECT * FROM ({judgements("IS NOT NULL")}) AS judged
    WHERE hour_start > %(from)s::TIMESTAMPTZ - INTERVAL '1 hour' AND hour_start < %(to)s
        AND ((channel = '{BOOKS}' AND ticker IN ('', %(ticker)s)) OR (channel = 'trade' AND ticker = ''))
"""  # noqa: S608 - constants


class ProductionRecord(MarketRecord):
    """Production's record of one market."""

    def __init__(self, database: RequestDatabase, ticker: str) -> None:
        super().__init__(ticker)
        self._database = database

    def last_snapshot(self, until: datetime) -> BookSnapshot | None:
        found = self._database.dicts(LAST_SNAPSHOT, {"ticker": self.ticker, "until": until})
        return snapshot_of(found[0]) if found else None

    def snapshots(self, since: datetime, until: datetime) -> list[BookSnapshot]:
        asked = {"ticker": self.ticker, "since": since, "until": until}
        return [snapshot_of(row) for row in self._database.dicts(BETWEEN_SNAPSHOTS, asked)]

    def changes_table(
        self, after: datetime, until: datetime, columns: tuple[str, ...] = BookChange._fields
    ) -> pa.Table:
        rows = self._rows(after, until, MOST_CHANGES + 1)
        if len(rows) > MOST_CHANGES:
            raise DatabaseError(f"{self.ticker} has more than {MOST_CHANGES} changes since a snapshot in doubt.")
        return _table(rows).select(columns)

    def parts(self, after: datetime, until: datetime) -> Iterator[tuple[datetime, pa.Table]]:
        while len(rows := self._rows(after, until, PART_CHANGES)) == PART_CHANGES:
            # The last instant may have more changes than this part: it is read again, whole.
            end = rows[-1][0]
            whole = [row for row in rows if row[0] < end]
            table = _table(whole) if whole else self.changes_table(after, end)
            after = whole[-1][0] if whole else end
            yield after, table
        yield until, _table(rows)

    def _rows(self, after: datetime, until: datetime, most: int) -> list[tuple[Any, ...]]:
        return self._database.rows(CHANGES, {"ticker": self.ticker, "after": after, "until": until, "limit": most})


def _table(rows: list[tuple[Any, ...]]) -> pa.Table:
    schema = schema_of(DELTAS)
    columns = zip(*rows, strict=True) if rows else [()] * len(BookChange._fields)
    named = zip(BookChange._fields, columns, strict=True)
    return pa.table({name: pa.array(values, schema.field(name).type) for name, values in named})


def coverage_of_books(database: RequestDatabase, ticker: str, period: Interval) -> Coverage:
    rows = database.dicts(JUDGED, {"ticker": ticker, "from": period[0], "to": period[1]})
    return coverage_from(rows, BOOKS, period, is_one_market=True)


class StepText(fields.String):
    """The length of a step, such as 1s, 250ms or 1h."""

    def _deserialize(self, *arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - as marshmallow calls it
        try:
            return step_of(super()._deserialize(*arguments, **named))
        except (LakeError, OverflowError) as error:
            raise ValidationError(str(error)) from None


BooksQuery = TimeRange.from_dict(
    {
        "from": asked_time(required=True),
        "to": asked_time(required=True),
        "every": StepText(load_default="1s", metadata={"description": "250ms, 1s, 1m, 1h, 1d"}),
        "format": fields.String(load_default=None, validate=OneOf((*FORMATS, ARROW))),
        "exact": fields.Boolean(load_default=False, metadata={"description": EXACT}),
    },
    name="books_query",
)


class BookRowSchema(Schema):
    at = fields.DateTime(required=True)
    state = fields.String(required=True, validate=OneOf(["complete", "hole", "unknown"]))
    based_on = fields.DateTime(required=True, metadata={"description": "The snapshot; in a hole, when it began."})
    source = fields.String(required=True, metadata={"description": "Of the snapshot: ws or rest; empty in a hole."})
    changes = fields.Integer(required=True, metadata={"description": "Since the snapshot."})
    yes_prices_e6 = fields.List(fields.Integer(), required=True, metadata={"description": "Bids, the best first."})
    yes_sizes_e2 = fields.List(fields.Integer(), required=True)
    no_prices_e6 = fields.List(fields.Integer(), required=True, metadata={"description": "Bids at NO prices."})
    no_sizes_e2 = fields.List(fields.Integer(), required=True)
    reset_from = fields.List(
        fields.DateTime(), required=True, metadata={"description": "When holes since the book before began."}
    )
    reset_until = fields.List(fields.DateTime(), required=True)


class BooksSchema(Schema):
    books = fields.List(fields.Nested(BookRowSchema), required=True)
    known_until = KNOWN_FIELDS["known_until"]
    holes = KNOWN_FIELDS["holes"]


class NameSchema(Schema):
    kind = fields.String(required=True, validate=OneOf(["ticker", "event", "series"]))
    markets = fields.Integer(required=True)
    first = fields.String(required=True, metadata={"description": "The first of its markets."})


def replay_blueprint(database: RequestDatabase) -> Blueprint:
    blueprint = Blueprint("replay", __name__, url_prefix="/admin")
    books_query = BooksQuery()

    @blueprint.get("/markets/<ticker>/books")
    @endpoint(
        f"A market's books over time, one each step: up to {MOST_ROWS:,} as JSON, {MOST_BOOKS:,} in other formats.",
        query=BooksQuery,
        answer=BooksSchema,
        types=tuple(TYPES.values()),
    )
    def books(ticker: str) -> Response:
        asked = {**books_query.load(request.args), **checked_path({"ticker": ticker})}
        form = wanted_format(asked["format"], (*FORMATS, ARROW))
        steps = _steps(asked, MOST_ROWS if form == "json" else MOST_BOOKS)
        known = known_of(database, BOOKS, asked)
        pieces = _pieces(database, ticker, (asked["from"], asked["to"]), steps)
        if form == "json":
            return json_answer({"books": list(chain.from_iterable(pieces)), **known._asdict()})
        answer = _streamed(pieces, form, is_exact=asked["exact"])
        answer.headers.update(known.headers())
        return answer

    @blueprint.get("/names/<name>")
    @endpoint("Whether a name is a market, an event or a series.", query=NoQuery, answer=NameSchema)
    def meaning(name: str) -> Response:
        return json_answer(meaning_of(database, checked_path({"name": name})["name"]))

    return blueprint


def _steps(asked: dict[str, Any], most: int) -> Steps:
    steps = Steps.of((asked["from"], asked["to"]), asked["every"])
    if steps.total > most:
        reason = f"These are {steps.total:,} books, and an answer in this format has at most {most:,}."
        raise ValidationError({"every": [f"{reason} Choose a longer step, a shorter time, or a streamed format."]})
    return steps


def _pieces(database: RequestDatabase, ticker: str, period: Interval, steps: Steps) -> Iterator[list[dict[str, Any]]]:
    """Yield rows of books. The next piece is computed when it is wanted, so that a client that leaves ends it."""
    found = replay(ProductionRecord(database, ticker), coverage_of_books(database, ticker, period), steps)
    while piece := [row_of(book) for book in islice(found, PIECE_BOOKS)]:
        yield piece


def row_of(book: Book) -> dict[str, Any]:
    yes, no = book.bids(yes_side=True), book.bids(yes_side=False)
    return {
        "at": book.at,
        "state": book.state,
        "based_on": book.based_on,
        "source": book.source,
        "changes": book.changes,
        "yes_prices_e6": [price for price, _ in yes],
        "yes_sizes_e2": [size for _, size in yes],
        "no_prices_e6": [price for price, _ in no],
        "no_sizes_e2": [size for _, size in no],
        "reset_from": [since for since, _ in book.reset_by],
        "reset_until": [until for _, until in book.reset_by],
    }


def _streamed(pieces: Iterator[list[dict[str, Any]]], form: str, is_exact: bool) -> Response:
    # The first piece is computed before anything is sent: an error is still answered with a problem.
    pieces = chain([next(pieces, [])], pieces)
    if form == ARROW:
        batches = (pa.RecordBatch.from_pylist(piece, BOOK_ROWS) for piece in pieces)
        return stream(arrow_batches(batches, BOOK_ROWS), form, "books")
    lines = ([msgspec.json.encode(row).decode() for row in piece] for piece in pieces)
    return stream(csv_lines(BOOK_ROWS.names, lines, is_exact) if form == "csv" else ndjson_lines(lines), form, "books")


# What a name means.

MEANING = """
    SELECT kind, markets, first FROM (
        SELECT 1 AS preference, 'ticker' AS kind, 1 AS markets, ticker AS first FROM markets WHERE ticker = %(name)s
        UNION ALL
        SELECT 2, 'event', count(*), min(ticker) FROM markets WHERE event_ticker = %(name)s HAVING count(*) > 0
        UNION ALL
        SELECT 3, 'series', count(*), min(ticker) FROM markets JOIN events USING (event_ticker)
        WHERE series_ticker = %(name)s HAVING count(*) > 0
        UNION ALL
        SELECT 4, 'ticker', 1, %(name)s
        WHERE EXISTS (SELECT FROM trades WHERE ticker = %(name)s)
            OR EXISTS (SELECT FROM orderbook_snapshots WHERE ticker = %(name)s)
            OR EXISTS (SELECT FROM tickers WHERE ticker = %(name)s)
            OR EXISTS (SELECT FROM orderbook_deltas WHERE ticker = %(name)s)
    ) AS meant
    ORDER BY preference LIMIT 1
"""
# A mistyped name is usually wrong near its end, so that the right one is near it in their order.
NEAR = " UNION ".join(
    f"(SELECT {column} FROM {table} WHERE {column} {side} %(name)s ORDER BY {column} {order} LIMIT 200)"  # noqa: S608
    for table, column in (("markets", "ticker"), ("events", "event_ticker"), ("series", "ticker"))
    for side, order in ((">=", "ASC"), ("<", "DESC"))
)
MOST_NEAR = 3


def meaning_of(database: RequestDatabase, name: str) -> dict[str, Any]:
    """Return kind, number of markets and the first of them. Raise ProblemError with near names if there is none."""
    if found := database.dicts(MEANING, {"name": name}):
        return found[0]
    known = [near for (near,) in database.rows(NEAR, {"name": name.upper()})]
    near = difflib.get_close_matches(name.upper(), sorted(known), n=MOST_NEAR)
    raise ProblemError(HTTPStatus.NOT_FOUND, f"No market, event or series {name} is known.", more={"near": near})
