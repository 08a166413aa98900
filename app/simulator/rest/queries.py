"""The query parameters of each endpoint, with their limits and defaults."""

from typing import Annotated, Literal, TypeVar

import msgspec
from flask import request
from msgspec import Meta


class SimProblem(Exception):  # noqa: N818 - an answer, not a fault of the program
    """An error answer, with its HTTP status and the exchange's code."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


def bad_request(message: str) -> SimProblem:
    return SimProblem(400, "bad_request", message)


def not_found() -> SimProblem:
    return SimProblem(404, "not_found", "not found")


UpTo1000 = Annotated[int, Meta(ge=0, le=1_000)]
UpTo200 = Annotated[int, Meta(ge=1, le=200)]
Seconds = Annotated[int, Meta(ge=0, le=253_402_300_799)]
Period = Literal[1, 60, 1_440]


class SimMarketsQuery(msgspec.Struct):
    limit: UpTo1000 = 100
    cursor: str = ""
    event_ticker: str = ""
    series_ticker: str = ""
    tickers: str = ""
    status: Literal["", "unopened", "open", "paused", "closed", "settled"] = ""
    mve_filter: Literal["", "only", "exclude"] = ""
    min_created_ts: Seconds | None = None
    max_created_ts: Seconds | None = None
    min_updated_ts: Seconds | None = None
    max_updated_ts: Seconds | None = None
    min_close_ts: Seconds | None = None
    max_close_ts: Seconds | None = None
    min_settled_ts: Seconds | None = None
    max_settled_ts: Seconds | None = None


class HistoricalMarketsQuery(msgspec.Struct):
    limit: UpTo1000 = 100
    cursor: str = ""
    event_ticker: str = ""
    series_ticker: str = ""
    tickers: str = ""
    mve_filter: Literal["", "exclude"] = ""


class TradesQuery(msgspec.Struct):
    limit: UpTo1000 = 100
    cursor: str = ""
    ticker: str = ""
    min_ts: Seconds | None = None
    max_ts: Seconds | None = None
    is_block_trade: bool | None = None


class SimBookQuery(msgspec.Struct):
    depth: Annotated[int, Meta(le=100)] = 0


class EventsQuery(msgspec.Struct):
    limit: UpTo200 = 200
    cursor: str = ""
    status: Literal["", "unopened", "open", "closed", "settled"] = ""
    series_ticker: str = ""
    tickers: str = ""
    with_nested_markets: bool = False
    with_milestones: bool = False
    min_close_ts: Seconds | None = None
    min_updated_ts: Seconds | None = None


class MultivariateEventsQuery(msgspec.Struct):
    limit: UpTo200 = 100
    cursor: str = ""
    series_ticker: str = ""
    collection_ticker: str = ""
    tickers: str = ""
    with_nested_markets: bool = False


class EventQuery(msgspec.Struct):
    with_nested_markets: bool = False
    exclude_markets: bool = False


class SeriesListQuery(msgspec.Struct):
    category: str = ""
    tags: str = ""
    include_product_metadata: bool = False
    include_volume: bool = False
    min_updated_ts: Seconds | None = None


class SeriesQuery(msgspec.Struct):
    include_volume: bool = False


class CandlesQuery(msgspec.Struct):
    start_ts: Seconds
    end_ts: Seconds
    period_interval: Period
    include_latest_before_start: bool = False


class BatchCandlesQuery(msgspec.Struct):
    market_tickers: str
    start_ts: Seconds
    end_ts: Seconds
    period_interval: Annotated[int, Meta(ge=1, le=1_440)]
    include_latest_before_start: bool = False


Query = TypeVar("Query")


def read_query(kind: type[Query]) -> Query:
    """Return the current request's parameters. Unknown ones are ignored, as on the exchange.

    Raise SimProblem with status 400 if one of them is out of its limits.
    """
    try:
        return msgspec.convert(request.args.to_dict(), kind, strict=False)
    except msgspec.ValidationError as error:
        raise bad_request(str(error)) from None


def names(comma_list: str) -> list[str]:
    return [name for name in comma_list.split(",") if name]
