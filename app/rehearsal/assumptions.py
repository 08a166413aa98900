"""List what the design assumes of the exchange, and where the code relies on it: the table of docs/assumptions.md."""

from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple


class Assumption(NamedTuple):
    key: str
    statement: str
    relied_on: tuple[tuple[str, str], ...]  # file, and the text in it that relies on the assumption
    otherwise: str  # what goes wrong if it does not hold


ASSUMPTIONS = (
    Assumption(
        "key_signs",
        "The key's signature is accepted, and the key may read the account's limits.",
        (("app/kalshi/signing.py", "Signer"), ("app/kalshi/rest_client.py", "account_limits")),
        "Nothing that needs a key works; the key, its scope or this host's clock is wrong.",
    ),
    Assumption(
        "key_opens_sockets",
        "The same signature opens a WebSocket.",
        (("app/subscriptions/dial_queue.py", "socket_factory"),),
        "Nothing is recorded live.",
    ),
    Assumption(
        "sockets_granted",
        "The account is granted as many sockets at once as all its gatherers open.",
        (("app/subscriptions/dial_queue.py", "sockets_of"),),
        "Lower KALSHI_ACCOUNT_CONNECTIONS to what is granted.",
    ),
    Assumption(
        "clock_offset",
        "This host's clock and the exchange's differ by a second at most.",
        (("app/kalshi/signing.py", "timestamp_ms"), ("app/subscriptions/router.py", "ExchangeClock")),
        "Signatures are refused as too old, and intervals of completeness are shifted: correct this host's clock.",
    ),
    Assumption(
        "token_cost",
        "Each endpoint that we use costs 10 tokens.",
        (("app/kalshi/request_budget.py", "TOKENS_PER_CALL"),),
        "The request budget is used faster than we count: 429 answers, and polling falls behind.",
    ),
    Assumption(
        "rest_answers",
        "Every endpoint that we use answers.",
        (("app/kalshi/rest_client.py", "RestClient"),),
        "The data of that endpoint is missing.",
    ),
    Assumption(
        "rest_fits",
        "Every REST object has the fields that we parse, in values that fit exactly.",
        (("app/kalshi/rest_objects.py", "Market"), ("app/normalize/metadata.py", "market_row")),
        "Such objects go to quarantine.",
    ),
    Assumption(
        "rest_pages",
        "A cursor leads to the next objects, and the last page has none.",
        (("app/kalshi/rest_client.py", "objects_of"),),
        "Reading all markets ends early, or never.",
    ),
    Assumption(
        "markets_newest_first",
        "Markets are listed by creation, newest first.",
        (("app/kalshi/rest_client.py", "newest first"),),
        "Reading all markets may miss markets that are created meanwhile.",
    ),
    Assumption(
        "books_by_batch",
        "One request answers with the books of a hundred markets, each with its ticker.",
        (("app/kalshi/rest_client.py", "BOOKS_PER_CALL"), ("app/polling/books.py", "polled_books")),
        "Polling does not receive all books that it requests.",
    ),
    Assumption(
        "unknown_market",
        "A ticker that does not exist has an empty book and is not found as a market.",
        (("app/kalshi/rest_client.py", "order_books"), ("workers/deduplicator/market_fetcher.py", "client.market")),
        "One market that disappeared makes a whole batch fail.",
    ),
    Assumption(
        "channels_known",
        "The exchange knows every channel that we subscribe to, without naming markets but for books.",
        (("app/subscriptions/roles.py", "Role"), ("app/subscriptions/commands.py", "subscribe")),
        "That channel is not recorded.",
    ),
    Assumption(
        "commands_answered",
        "Each command is answered within ten seconds, with its id.",
        (("app/subscriptions/commands.py", "ANSWER_US"),),
        "Commands are repeated without need.",
    ),
    Assumption(
        "frames_fit",
        "Every message has the fields that we parse, in values that fit exactly.",
        (("app/kalshi/messages.py", "decode"), ("app/normalize/stream.py", "read")),
        "Such messages go to quarantine, and their markets count as incomplete until their next snapshot.",
    ),
    Assumption(
        "hears_all_markets",
        "A subscription that names no market receives tickers and trades of all markets.",
        (("app/subscriptions/channel_subscription.py", "class"),),
        "Other markets have neither tickers nor trades.",
    ),
    Assumption(
        "pings_come",
        "A ping comes at least once in KALSHI_STALE_SECONDS, also where nothing else does.",
        (("app/settings/gatherer.py", "stale_seconds"), ("app/kalshi/websocket.py", "last_ping_seconds")),
        "Healthy sockets are reopened repeatedly: raise KALSHI_STALE_SECONDS.",
    ),
    Assumption(
        "first_number",
        "A subscription's first message has the number 1, or 2 where its acknowledgement took one.",
        (("app/normalize/stream.py", "FirstNumbers"),),
        "A loss before the first message is not noticed, or a loss is declared that did not happen.",
    ),
    Assumption(
        "seq_counts",
        "Numbers rise by one over all messages of a subscription.",
        (("app/normalize/stream.py", "SequenceCheck"),),
        "Losses are declared that did not happen; or this connection did lose something: repeat the rehearsal.",
    ),
    Assumption(
        "ok_numbers",
        "An ok takes a number only if it shows it.",
        (("app/normalize/stream.py", "Messages of every type count if they carry one"),),
        "Each change of a subscription looks like a loss.",
    ),
    Assumption(
        "clock_present",
        "Every book and every change carries a clock.",
        (("app/normalize/events.py", "clock"), ("app/audit/pairs.py", "clock")),
        "Changes are distinguished only by their millisecond, and books cannot be audited.",
    ),
    Assumption(
        "clock_rises",
        "A market's clock never goes back, except after a maintenance.",
        (("app/normalize/occurrences.py", "on_return"), ("kalshi_data/order_book.py", "_falls_of_clock")),
        "Books are rebuilt in the wrong order.",
    ),
    Assumption(
        "clocks_equal",
        "A change has the same clock on every socket.",
        (("app/merge/rules.py", "clock"), ("app/normalize/events.py", "nth")),
        "The same change counts twice in production.",
    ),
    Assumption(
        "times_equal",
        "A change has the same ts_ms on every socket.",
        (("app/merge/rules.py", "exchange_ts"),),
        "The same change counts twice in production.",
    ),
    Assumption(
        "times_present",
        "Changes, trades and tickers carry ts_ms.",
        (("app/normalize/values.py", "exchange_us"), ("app/normalize/events.py", "ts_missing")),
        "Changes are marked and matched without their time; tickers and trades are dated by when they were sent.",
    ),
    Assumption(
        "sending_times_present",
        "Books and announcements state when they were sent.",
        (("app/normalize/values.py", "sent_us"),),
        "They are dated by this host's clock.",
    ),
    Assumption(
        "same_order",
        "A market's changes arrive in the same order on every socket.",
        (("app/normalize/occurrences.py", "in their order"),),
        "Equal changes of one moment may get different numbers: they count once too often or too rarely.",
    ),
    Assumption(
        "repetitions_equal",
        "Identical changes of one moment arrive equally often on every socket.",
        (("app/normalize/occurrences.py", "Occurrences"), ("app/merge/rules.py", "nth")),
        "A change is doubled or lost in production.",
    ),
    Assumption(
        "deltas_merge",
        "Two sockets send the same changes, by the identity that production merges by.",
        (("app/merge/rules.py", "nth"),),
        "Production has changes twice, or a gatherer missed some without knowing it.",
    ),
    Assumption(
        "tickers_merge",
        "Two sockets send the same tickers, by their identity.",
        (("app/normalize/events.py", "digest"),),
        "Production has tickers twice.",
    ),
    Assumption(
        "trades_merge",
        "Two sockets send the same trades with the same ids.",
        (("app/normalize/events.py", "trade_row"), ("app/merge/rules.py", "trade_id")),
        "Production has trades twice, or in the copy that came first.",
    ),
    Assumption(
        "announcements_alike",
        "Two sockets send the same announcements of markets and events, with equal content.",
        (("app/normalize/events.py", "Repetitions"),),
        "Production has announcements twice.",
    ),
    Assumption(
        "trades_match_rest",
        "REST lists exactly the trades that the stream sent, with equal values.",
        (("app/normalize/events.py", "rest_trade_row"), ("app/coverage/trade_repair.py", "trades")),
        "Repairs of trades double them, or trades are missing from the stream.",
    ),
    Assumption(
        "snapshot_first",
        "The first message of a market is its book, and get_snapshot sends it again with the command's id.",
        (("app/subscriptions/book_markets.py", "class"), ("app/subscriptions/book_requests.py", "class")),
        "It is not known whether markets are received; losses are not repaired on the socket.",
    ),
    Assumption(
        "snapshot_in_order",
        "On a socket, a book's clock is that of the change before it: later changes have a higher one.",
        (("kalshi_data/order_book.py", "_stamped_too_early"), ("app/audit/pairs.py", "A snapshot holds exactly")),
        "Books count changes twice, or not at all.",
    ),
    Assumption(
        "books_rebuild",
        "A book plus the changes up to the clock of the next book equals that book, level by level.",
        (("app/audit/pairs.py", "differences"), ("kalshi_data/order_book.py", "recorded_book")),
        "The audit reports books that are correct.",
    ),
    Assumption(
        "books_match_rest",
        "REST's book equals one that the stream sent around that time, with NO levels at NO prices.",
        (("app/normalize/snapshots.py", "rest_snapshot_row"), ("app/subscriptions/commands.py", "use_yes_price")),
        "Polled books do not check the stream's.",
    ),
    Assumption(
        "books_match_tickers",
        "A ticker's best prices and sizes are the book's at its own millisecond.",
        (("app/normalize/events.py", "ticker_row"), ("app/audit/quotes.py", "QuotedBook")),
        "The audit reports books that are correct.",
    ),
)


# The verdict of a rehearsal on an assumption: it holds, it does not, or nothing was observed to judge it by.


class Judgement(Enum):
    YES = "yes"
    NO = "no"
    NOT_JUDGED = "not judged"


class Verdict(NamedTuple):
    assumption: str  # its key in assumptions.py
    answer: Judgement
    evidence: str


def holds(assumption: str, evidence: str) -> Verdict:
    return Verdict(assumption, Judgement.YES, evidence)


def fails(assumption: str, evidence: str) -> Verdict:
    return Verdict(assumption, Judgement.NO, evidence)


def not_judged(assumption: str, why: str) -> Verdict:
    return Verdict(assumption, Judgement.NOT_JUDGED, why)


def counted(assumption: str, what: str, total: int, wrong: Sequence[object], tolerated: float = 0.0) -> Verdict:
    """Return a verdict by the number of wrong items. A share of them, `tolerated`, is known to be wrong."""
    if not total:
        return not_judged(assumption, f"no {what} to look at")
    text = f"{total - len(wrong)} of {total} {what}"
    if not wrong:
        return holds(assumption, text)
    told = list(dict.fromkeys(map(str, wrong)))
    text += f"; not {', '.join(told[:SHOWN])}{' …' if len(told) > SHOWN else ''}"
    return holds(assumption, text) if len(wrong) <= tolerated * total else fails(assumption, text)


SHOWN = 3
