"""Rows of whole books: from the stream, which carry a clock, and from REST, which carry none."""

from collections.abc import Sequence

import msgspec
from msgspec import Raw

from app.kalshi.messages import HIGHEST_BIGINT, NO_CLOCK, OrderbookSnapshot
from app.kalshi.rest_objects import BookOfMarket
from app.normalize.values import (
    CENT_E6,
    CONTRACT_E2,
    COUNTS_E2,
    FROM_REST,
    PRICES_E6,
    UnfitMessageError,
    decoded,
    digest_of_integers,
    sent_us,
)
from app.storage.tables import ORDERBOOK_SNAPSHOTS, Row

_decoder = msgspec.json.Decoder(BookOfMarket)
_object_decoder = msgspec.json.Decoder(dict[str, object])

Levels = list[tuple[int, int]]  # price_e6 and size_e2
LEVELS = slice(
    ORDERBOOK_SNAPSHOTS.column_names.index("yes_prices_e6"), ORDERBOOK_SNAPSHOTS.column_names.index("no_sizes_e2") + 1
)
NO_LEVELS = (None, None, None, None)


def snapshot_row(message: OrderbookSnapshot, received_us: int, conn: int) -> Row:
    body = message.msg
    yes = _side(body.yes_dollars_fp, body.yes_dollars, body.yes)
    no = _side(body.no_dollars_fp, body.no_dollars, body.no)
    snapshot_us = sent_us(message.sending_ts_ms, received_us)
    return (
        snapshot_us,
        received_us,
        body.clock,
        *_book(body.market_ticker, "ws", yes, no),
        conn,
        message.sid,
        message.seq,
    )


def rest_snapshot_row(content: bytes | Raw, received_us: int) -> Row:
    """Return the row of one book in the answer of /markets/orderbooks."""
    market = decoded(_decoder, content)
    book, older = market.orderbook_fp, market.orderbook
    if book is not None:
        yes, no = _side(book.yes_dollars, None, None), _side(book.no_dollars, None, None)
    elif older is not None:
        yes, no = _side(None, older.yes_dollars, older.yes), _side(None, older.no_dollars, older.no)
    else:
        raise UnfitMessageError("it has no book")
    if not (yes or no):
        refuse_other_levels(content, "orderbook_fp" if older is None else "orderbook")
    return (received_us, received_us, NO_CLOCK, *_book(market.ticker, "rest", yes, no), *FROM_REST)


def refuse_other_levels(content: bytes | Raw, member: str) -> None:
    """Raise if a book without known levels has lists under unknown names: then it is not empty."""
    body = decoded(_object_decoder, content).get(member)
    lists = (
        [name for name, value in body.items() if isinstance(value, list) and value] if isinstance(body, dict) else []
    )
    if lists:
        raise UnfitMessageError(f"a book without levels under any known name, and with lists: {lists}")


def is_empty(row: Row) -> bool:
    return not any(row[LEVELS])


def confirmation_row(row: Row) -> Row:
    """Return a row that only confirms a book: by its digest, the book is the one stored in full already."""
    return (*row[: LEVELS.start], *NO_LEVELS, *row[LEVELS.stop :])


def levels_digest(yes: Levels, no: Levels) -> int:
    """Return the digest of a book: equal for equal books, whatever their source."""
    bounds = (HIGHEST_BIGINT,)  # a separator: without it, a level could move to the other side unnoticed
    return digest_of_integers((*_flat(yes), *bounds, *_flat(no)))


def _flat(levels: Levels) -> list[int]:
    return [number for level in levels for number in level]


def _book(ticker: str, source: str, yes: Levels, no: Levels) -> Row:
    return (levels_digest(yes, no), ticker, source, *_columns(yes), *_columns(no))


def _columns(levels: Levels) -> tuple[list[int], list[int]]:
    return [price_e6 for price_e6, _ in levels], [size_e2 for _, size_e2 in levels]


def _side(
    dollars_fp: Sequence[tuple[str, str]] | None,
    dollars: Sequence[tuple[str, int]] | None,
    cents: Sequence[tuple[int, int]] | None,
) -> Levels:
    """Return the levels sorted by price, in which the exchange sends them. An absent side is empty."""
    if dollars_fp is not None:
        levels = [(PRICES_E6[price], COUNTS_E2[size]) for price, size in dollars_fp]
    elif dollars is not None:
        levels = [(PRICES_E6[price], size * CONTRACT_E2) for price, size in dollars]
    else:
        levels = [(price * CENT_E6, size * CONTRACT_E2) for price, size in cents or ()]
    levels.sort()
    return levels
