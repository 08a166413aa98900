"""The calls of a lake over HTTP: the admin service's records as Arrow, in the same types and with the same coverage.

In: the service's address and a token. Out: what lake.py returns. Books through time are replayed here, out of the
service's snapshots and changes, by the same code as a lake's.
"""

import io
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import quote

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import ipc

from kalshi_data.books import LOOK_BACK_DAYS, Book, MarketRecord, level_of, snapshot_of
from kalshi_data.common_calls import CommonCalls
from kalshi_data.coverage import BOOKS, Coverage, coverage_from, judgements_for
from kalshi_data.errors import LakeError, MissingBookError, NotKnownYetError, UnknownNameError, UnreadableError
from kalshi_data.holes import with_marks
from kalshi_data.layout import COVERAGE, DAY, DELTAS, IDENTITY, MARKETS, SNAPSHOTS, day_of
from kalshi_data.layout import TICKERS as TICKERS_TABLE
from kalshi_data.layout import TRADES as TRADES_TABLE
from kalshi_data.order_book import BookChange, BookSnapshot, Knowledge
from kalshi_data.records import Records, imported
from kalshi_data.replay import Steps
from kalshi_data.schema import schema_of
from kalshi_data.times import EARLIEST, LATEST, MICROSECOND, Interval, Moment, moment_of, period_of

if TYPE_CHECKING:
    import requests

PATHS = {
    TRADES_TABLE: "trades",
    DELTAS: "book-changes",
    TICKERS_TABLE: "quotes",
    SNAPSHOTS: "snapshots",
    COVERAGE: "coverage",
    MARKETS: "markets",
}
MOST_ROWS = 10_000_000  # in one answer of the service
CONNECT_SECONDS, ANSWER_SECONDS = 10, 120
PIECE_BYTES = 1 << 20
NOT_FOUND, CONFLICT = 404, 409
REFUSED = (401, 403)
Query = dict[str, str]


class Service:
    """The admin service, and how it is asked."""

    def __init__(self, url: str, token: str | None) -> None:
        self.url = url.rstrip("/")
        self._session: requests.Session = imported("requests").Session()
        if token:
            self._session.headers["Authorization"] = f"Bearer {token}"

    def json(self, path: str, query: Query | None = None) -> dict[str, Any]:
        with self._ask(path, query or {}) as answer:
            body: dict[str, Any] = answer.json()
            return body

    def table(self, table: str, query: Query) -> pa.Table:
        """Return the rows of a list of records, in the lake's types."""
        with self._ask(
            f"/admin/records/{PATHS[table]}", {"limit": str(MOST_ROWS), **query, "format": "arrow"}
        ) as answer:
            try:
                found = ipc.open_stream(io.BufferedReader(_Body(answer))).read_all()
            except (pa.ArrowException, OSError) as error:
                self._broken(error)
        if found.num_rows >= MOST_ROWS:
            fix = "name a shorter time, or a market."
            raise LakeError(f"These are {MOST_ROWS:,} rows or more, and one answer has no more.", fix=fix)
        return found

    def _ask(self, path: str, query: Query) -> "requests.Response":
        try:
            answer = self._session.get(
                f"{self.url}{path}", params=query, timeout=(CONNECT_SECONDS, ANSWER_SECONDS), stream=True
            )
        except OSError as error:  # that of requests is one
            self._broken(error)
        if not answer.ok:
            with answer:
                raise self._problem(answer, path)
        return answer

    def _problem(self, answer: "requests.Response", path: str) -> LakeError:
        try:
            body = answer.json()
        except ValueError:
            body = {}
        detail = f"{body.get('detail', answer.reason)} {'; '.join(_reasons(body.get('errors')))}".strip()
        if "near" in body:
            return UnknownNameError(detail, body["near"])
        if answer.status_code == NOT_FOUND and path.endswith("/book"):
            return MissingBookError(detail, fix="check the ticker, or name another time.")
        if answer.status_code == CONFLICT:
            return NotKnownYetError(detail, fix="ask for that time or an earlier one.")
        if answer.status_code in REFUSED:
            return LakeError(
                f"{self.url} refuses this.", detail, "pass a token of the service: kd.connect(url, token=…)."
            )
        return UnreadableError(f"{self.url} answers {answer.status_code}.", detail, "ask for less, or later.")

    def _broken(self, error: Exception) -> NoReturn:
        fix = "check the address, and whether the service runs; then ask again."
        raise UnreadableError(f"{self.url} does not answer, or not completely.", str(error), fix) from error


class _Body(io.RawIOBase):
    """The body of an answer as a file. An answer that ends early is an error."""

    def __init__(self, answer: "requests.Response") -> None:
        self._pieces: Iterator[bytes] = answer.iter_content(PIECE_BYTES)
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - as io has it
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._rest = piece
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


class RemoteRecord(MarketRecord):
    """The service's record of one market."""

    def __init__(self, service: Service, ticker: str) -> None:
        super().__init__(ticker)
        self._service = service

    def last_snapshot(self, until: datetime) -> BookSnapshot | None:
        since = day_of(until) - (LOOK_BACK_DAYS - 1) * DAY
        for more in ({"source": "ws"}, {}):
            if found := self._snapshots(since, until, {**more, "order": "desc", "limit": "1"}):
                return found[0]
        return None

    def snapshots(self, since: datetime, until: datetime) -> list[BookSnapshot]:
        return self._snapshots(since, until, {})

    def _snapshots(self, since: datetime, until: datetime, more: Query) -> list[BookSnapshot]:
        if since > until:
            return []
        query = {"ticker": self.ticker, "confirmation": "false", **_times((since, until + MICROSECOND)), **more}
        return [snapshot_of(row) for row in self._service.table(SNAPSHOTS, query).to_pylist()]

    def changes_table(
        self, after: datetime, until: datetime, columns: tuple[str, ...] = BookChange._fields
    ) -> pa.Table:
        if after >= until:
            return schema_of(DELTAS).empty_table().select(columns)
        query = {"ticker": self.ticker, **_times((after + MICROSECOND, until + MICROSECOND))}
        return self._service.table(DELTAS, query).select(columns)

    def period(self, asked: Interval) -> Interval:
        """Return the period without what lies before the market's first snapshot or after its last change."""
        ends = {"ticker": self.ticker, "limit": "1", **_times(asked)}
        first, last, change = (
            self._service.table(table, {**ends, **more})
            for table, more in (
                (SNAPSHOTS, {"confirmation": "false"}),
                (SNAPSHOTS, {"confirmation": "false", "order": "desc"}),
                (DELTAS, {"order": "desc"}),
            )
        )
        if not first.num_rows:
            raise MissingBookError(f"There is no book of {self.ticker} in that time.", fix="name another time.")
        since: datetime = first["snapshot_ts"][0].as_py()
        until = max([*last["snapshot_ts"].to_pylist(), *change["exchange_ts"].to_pylist()]) + MICROSECOND
        return asked[0] if asked[0] != EARLIEST else since, asked[1] if asked[1] != LATEST else until


class RemoteLake(CommonCalls):
    """The records of an admin service."""

    def __init__(self, url: str, token: str | None = None) -> None:
        self._service = Service(url, token)
        self._meanings: dict[str, dict[str, Any]] = {}

    @property
    def location(self) -> str:
        return self._service.url

    def book(self, ticker: str, at: Moment) -> Book:
        """Return the order book at a time. Raise NotKnownYetError for a time that is not known yet."""
        self._market(ticker)
        found = self._service.json(f"/admin/markets/{quote(ticker, safe='')}/book", {"at": moment_of(at).isoformat()})
        hole = found["hole"] and tuple(map(moment_of, found["hole"]))
        known_until = found["known_until"] and moment_of(found["known_until"])
        sizes = {
            level_of(side == "yes", level["price_e6"]): level["size_e2"]
            for side in ("yes", "no")
            for level in found[side]
        }
        knowledge = Knowledge(found["state"], known_until, hole)
        based_on = moment_of(found["based_on"])
        return Book(ticker, moment_of(found["at"]), based_on, found["source"], found["changes"], knowledge, sizes=sizes)

    def markets(self, series: str | None = None, event: str | None = None, status: str | None = None) -> Records:
        """Return each market with its result and what it settled to."""
        if series is not None:
            self._meaning(series)
        query = {"series": series, "event": event, "status": status}
        wanted = {name: value for name, value in query.items() if value is not None}
        return Records(
            lambda: self._service.table(MARKETS, wanted),
            lambda: self._coverage("market_lifecycle_v2", None, (EARLIEST, LATEST)),
            "updated_at",
        )

    def coverage(
        self, name: str | None = None, start: Moment | None = None, end: Moment | None = None, channel: str = BOOKS
    ) -> Coverage:
        """Return how complete a channel is: orderbook_delta, trade, ticker or market_lifecycle_v2."""
        if name is not None:
            self._meaning(name)
        return self._coverage(channel, name, period_of(start, end))

    def _records(self, table: str, channel: str, name: str | None, period: Interval) -> Records:
        query = {**self._named(name), **_times(period)}

        def read() -> pa.Table:
            rows = _in_lake_order(self._service.table(table, query), table)
            judgements = self._judgements(channel, name, period) if rows.num_rows else []
            return with_marks(rows, channel, [row for row in judgements if row["channel"] == channel])

        return Records(read, lambda: self._coverage(channel, name, period), "exchange_ts")

    def _coverage(self, channel: str, name: str | None, period: Interval) -> Coverage:
        is_one_market = name is not None and self._meaning(name)["markets"] == 1
        return coverage_from(self._judgements(channel, name, period), channel, period, is_one_market=is_one_market)

    def _judgements(self, channel: str, name: str | None, period: Interval) -> list[dict[str, Any]]:
        named = self._named(name) if channel == BOOKS else {}
        rows: list[dict[str, Any]] = []
        for asked in judgements_for(channel, None if name is None else []):
            which = named or {"complete": "false"} if asked.channel == BOOKS else {"exchange": "true"}
            rows += self._service.table(COVERAGE, {"channel": asked.channel, **which, **_times(period)}).to_pylist()
        return rows

    def _steps(self, ticker: str, period: Interval, step: timedelta) -> tuple[MarketRecord, Steps, Coverage]:
        self._market(ticker)
        record = RemoteRecord(self._service, ticker)
        if EARLIEST in period or LATEST in period:
            period = record.period(period)
        return record, Steps.of(period, step), self._coverage(BOOKS, ticker, period)

    def _named(self, name: str | None) -> Query:
        """Return the parameter that names the markets. Raise UnknownNameError if there are none."""
        return {} if name is None else {self._meaning(name)["kind"]: name}

    def _market(self, ticker: str) -> None:
        meaning = self._meaning(ticker)
        if meaning["kind"] != "ticker":
            raise LakeError(
                f"{ticker} has {meaning['markets']} markets, and an order book is that of one.",
                fix=f"name one of them, such as {meaning['first']}.",
            )

    def _meaning(self, name: str) -> dict[str, Any]:
        if name not in self._meanings:
            try:
                self._meanings[name] = self._service.json(f"/admin/names/{quote(name, safe='')}")
            except UnknownNameError as error:
                raise UnknownNameError(name, error.near) from None
        return self._meanings[name]

    def __repr__(self) -> str:
        return f"<RemoteLake at {self.location}>"


def _times(period: Interval) -> Query:
    bounds = {"from": (period[0], EARLIEST), "to": (period[1], LATEST)}
    return {name: moment.isoformat() for name, (moment, everything) in bounds.items() if moment != everything}


def _in_lake_order(table: pa.Table, name: str) -> pa.Table:
    """Return the rows by hour, market and time."""
    hours = pc.floor_temporal(table["exchange_ts"], unit="hour")
    keys = [("hour", "ascending"), *((column, "ascending") for column in IDENTITY[name])]
    return table.append_column("hour", hours).sort_by(keys).select(schema_of(name).names)


def _reasons(errors: object) -> list[str]:
    named = errors.items() if isinstance(errors, dict) else ()
    return [f"{name}: {' '.join(map(str, reasons))}" for name, reasons in named]
