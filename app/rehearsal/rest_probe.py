"""Ask every REST endpoint that the platform uses, and judge whether the answers can be parsed.

In: a client with a key. Out: for each endpoint the number of objects, what does not fit, unknown fields and samples.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import islice, pairwise
from typing import NamedTuple, TypeVar

import msgspec
from msgspec import Raw

from app.kalshi.errors import RestError, UnavailableError
from app.kalshi.request_budget import TOKENS_PER_CALL, Priority
from app.kalshi.rest_client import BOOKS_PER_CALL, ComboFilter, EventFilter, MarketFilter, MarketsPage, RestClient
from app.kalshi.rest_objects import AccountLimits
from app.kalshi.rest_transport import HttpAnswer, HttpSession, Parameters, RestTransport
from app.normalize.events import rest_trade_row
from app.normalize.metadata import event_row, market_row, series_row
from app.normalize.snapshots import LEVELS, rest_snapshot_row
from app.normalize.values import SECOND_US, UnfitMessageError
from app.rehearsal import known_fields as known
from app.rehearsal.assumptions import Verdict, counted, fails, holds, not_judged
from app.runtime.clock import now_us
from app.storage.tables import EVENTS, MARKETS, ORDERBOOK_SNAPSHOTS, TRADES, Row

PATIENCE_SECONDS = 10.0
MOST_OBJECTS = 1_200  # more than one page of any list
SAMPLES = 3
COSTS_PATH = "/account/endpoint_costs"  # not used by the platform itself
NO_SUCH_MARKET = "KXNOSUCHMARKET-26JAN01-T1"
MARKET_STATUSES: tuple[MarketFilter, ...] = ("unopened", "open", "paused", "closed")
EVENT_STATUSES: tuple[EventFilter, ...] = ("unopened", "open", "closed")
COMBOS: tuple[ComboFilter, ...] = ("exclude", "only")
EVENT_OF_MARKET = MARKETS.column_names.index("event_ticker")
SERIES_OF_EVENT = EVENTS.column_names.index("series_ticker")
TRADED = TRADES.column_names.index("ticker")
BOOK_TICKER = ORDERBOOK_SNAPSHOTS.column_names.index("ticker")
BOOKS = (rest_snapshot_row, known.BOOK)
HOUR_SECONDS = 3_600

Parse = Callable[[Raw, int], Row]
Ask = Callable[[], Iterable[Raw]]
Told = TypeVar("Told")


class Probed(NamedTuple):
    """The result of one request or list."""

    name: str
    objects: int
    unfit: tuple[str, ...] = ()
    unknown_fields: tuple[str, ...] = ()
    error: str | None = None
    samples: tuple[bytes, ...] = ()


class EndpointCost(msgspec.Struct, frozen=True):
    path: str
    cost: int
    method: str = "GET"


class EndpointCosts(msgspec.Struct, frozen=True):
    default_cost: int
    endpoint_costs: tuple[EndpointCost, ...] = ()


class Named(msgspec.Struct, frozen=True):
    ticker: str = ""


class NotedSession(HttpSession):
    """A session that keeps the latest answer unparsed."""

    latest = HttpAnswer(0, b"", 0.0)

    def get(self, path: str, parameters: Parameters) -> HttpAnswer:
        self.latest = super().get(path, parameters)
        return self.latest


class RestProbe:
    """Asks the endpoints one after the other: the answer of one provides the names that the next is asked for."""

    def __init__(self, transport: RestTransport, session: NotedSession) -> None:
        self.client = RestClient(transport, Priority.RECONCILE, PATIENCE_SECONDS)
        self.probed: list[Probed] = []
        self.limits: AccountLimits | None = None
        self.costs: EndpointCosts | None = None
        self.open_markets: list[Row] = []
        self.trades: list[Row] = []
        self.pages: list[tuple[list[str], str]] = []  # tickers and cursor of two small pages
        self.books_told: list[str] = []  # tickers of the property below whose books were in the answer
        self.found_unknown: list[str] = []  # what was found of a market that does not exist
        self._transport = transport
        self._session = session

    @property
    def tickers(self) -> list[str]:
        return [row[0] for row in self.open_markets[:BOOKS_PER_CALL]]

    def run(self, sharers: int) -> None:
        since = now_us() // SECOND_US - HOUR_SECONDS
        # An exchange that does not answer is told of at once: each further request would cost its patience too.
        self.whole("/exchange/status", self.client.exchange_status, known.STATUS, may_be_away=False)
        self.limits = self.whole("/account/limits", partial(self.client.adopt_account_limits, sharers), known.LIMITS)
        self.costs = self.whole(COSTS_PATH, self._endpoint_costs, EndpointCosts.__struct_fields__)
        self.whole("/historical/cutoff", self.client.historical_cutoff, known.CUTOFF)
        self._ask_for_markets(since)
        self._ask_for_events(since)
        self.trades = self.list_of("/markets/trades", self.client.trades, rest_trade_row, known.TRADE)
        self.list_of("/historical/trades", self.client.historical_trades, rest_trade_row, known.TRADE)
        books = partial(self.client.order_books, self.tickers)
        self.books_told = [row[BOOK_TICKER] for row in self.list_of("/markets/orderbooks", books, *BOOKS)]
        self._ask_for_unknown()
        self._ask_for_pages()

    def busiest(self) -> list[str]:
        """Return the tickers of the latest trades, the most frequent first, then other open markets."""
        counts = Counter(row[TRADED] for row in self.trades)
        return list(dict.fromkeys([*(ticker for ticker, _ in counts.most_common()), *self.tickers]))

    def whole(
        self, name: str, ask: Callable[[], Told], fields: Iterable[str], *, may_be_away: bool = True
    ) -> Told | None:
        """Ask for a single object. Return None after an error."""
        try:
            told = ask()
        except RestError as error:
            if isinstance(error, UnavailableError) and not may_be_away:
                error.fix = "check KALSHI_REST_URL and the network, and whether the exchange is open."
                raise
            self.probed.append(Probed(name, 0, error=str(error)))
            return None
        body = self._session.latest.body
        unknown = tuple(sorted(known.unknown_in(body, fields)))
        self.probed.append(Probed(name, 1, unknown_fields=unknown, samples=(body,)))
        return told

    def list_of(self, name: str, ask: Ask, parse: Parse, fields: Iterable[str], most: int = MOST_OBJECTS) -> list[Row]:
        """Ask for a list of objects. Return the rows of the objects that could be parsed."""
        rows: list[Row] = []
        unfit: list[str] = []
        unknown: set[str] = set()
        samples: list[bytes] = []
        error: str | None = None
        try:
            for content in islice(ask(), most):
                unknown |= known.unknown_in(content, fields)
                samples += [bytes(content)] if len(samples) < SAMPLES else []
                try:
                    rows.append(parse(content, now_us()))
                except UnfitMessageError as problem:
                    unfit.append(str(problem))
        except RestError as problem:
            error = str(problem)
        total = len(rows) + len(unfit)
        self.probed.append(Probed(name, total, tuple(unfit), tuple(sorted(unknown)), error, tuple(samples)))
        return rows

    def _ask_for_markets(self, since: int) -> None:
        client = self.client
        for status in MARKET_STATUSES:
            for combos in COMBOS:
                name = f"/markets status={status} mve_filter={combos}"
                found = self.list_of(name, partial(client.markets, status, combos), market_row, known.MARKET)
                if (status, combos) == ("open", "exclude"):
                    self.open_markets = found
        asks: dict[str, Ask] = {
            "/markets min_updated_ts": partial(client.markets_updated_since, since),
            "/markets min_created_ts": partial(client.markets_created_since, since, "only"),
            "/markets min_settled_ts": partial(client.markets_settled_since, since, "exclude"),
            "/markets tickers": partial(client.named_markets, self.tickers[:2]),
            "/markets/{ticker}": partial(self._one, client.market, self.tickers),
        }
        for name, ask in asks.items():
            self.list_of(name, ask, market_row, known.MARKET)

    def _ask_for_events(self, since: int) -> None:
        client = self.client
        events = list(dict.fromkeys(str(row[EVENT_OF_MARKET]) for row in self.open_markets))[:2]
        found: list[Row] = []
        asks: dict[str, Ask] = {
            **{f"/events status={status}": partial(client.events, status) for status in EVENT_STATUSES},
            "/events min_updated_ts": partial(client.events, None, since),
            "/events tickers": partial(client.named_events, events),
            "/events/{ticker}": partial(self._one, client.event, events),
            "/events/multivariate": client.multivariate_events,
            "/events/multivariate tickers": partial(client.named_multivariate_events, events),
        }
        for name, ask in asks.items():
            found += self.list_of(name, ask, event_row, known.EVENT)
        series = [str(row[SERIES_OF_EVENT]) for row in found[:1]]
        self.list_of("/series", client.series_list, series_row, known.SERIES)
        self.list_of("/series/{ticker}", partial(self._one, client.series, series), series_row, known.SERIES)

    def _ask_for_unknown(self) -> None:
        rows = self.list_of(
            "/markets/orderbooks of an unknown market", partial(self.client.order_books, [NO_SUCH_MARKET]), *BOOKS
        )
        self.found_unknown = [f"a book with levels of {row[BOOK_TICKER]}" for row in rows if any(row[LEVELS])]
        one = partial(self._one, self.client.market, [NO_SUCH_MARKET])
        found = self.list_of("/markets/{ticker} of an unknown market", one, market_row, known.MARKET)
        self.found_unknown += [f"the market {row[0]}" for row in found]

    def _ask_for_pages(self) -> None:
        cursor = ""
        for _ in range(2):
            page = self.whole("/markets limit=1", partial(self._page, cursor), ("markets", "cursor"))
            if page is None:
                return
            cursor = page.cursor or ""
            self.pages.append(([msgspec.json.decode(each, type=Named).ticker for each in page.objects or ()], cursor))
            if not cursor:
                return

    def _page(self, cursor: str) -> MarketsPage:
        parameters: dict[str, str | int] = {"limit": 1, **({"cursor": cursor} if cursor else {})}
        return self._transport.get("/markets", parameters, MarketsPage, Priority.RECONCILE, PATIENCE_SECONDS)

    def _endpoint_costs(self) -> EndpointCosts:
        return self._transport.get(COSTS_PATH, {}, EndpointCosts, Priority.RECONCILE, PATIENCE_SECONDS)

    def _one(self, ask: Callable[[str], Raw | None], names: list[str]) -> list[Raw]:
        return [found for name in names[:1] if (found := ask(name)) is not None]


# Verdicts on the REST answers.

CREATED = MARKETS.column_names.index("created_time")
# Endpoints that the platform uses; the costs of others do not matter.
OUR_PATHS = ("/exchange/status", "/historical/", "/account/limits", "/markets", "/events", "/series")


def rest_verdicts(probe: RestProbe) -> list[Verdict]:
    return [
        key_signs(probe.limits, probe.probed),
        token_cost(probe.costs),
        rest_answers(probe.probed),
        rest_fits(probe.probed),
        rest_pages(probe.pages),
        markets_newest_first(probe.open_markets),
        books_by_batch(probe.tickers, probe.books_told),
        unknown_market(probe.found_unknown, probe.probed),
    ]


def key_signs(limits: AccountLimits | None, probed: Sequence[Probed]) -> Verdict:
    if limits is not None:
        refill, capacity = limits.read.refill_rate, limits.read.bucket_capacity
        tier = limits.usage_tier or "without a name"
        return holds("key_signs", f"tier {tier}: {refill} tokens a second, {capacity} at most")
    errors = [each.error for each in probed if each.name == "/account/limits" and each.error]
    return fails("key_signs", "; ".join(errors)) if errors else not_judged("key_signs", "it was not asked")


def token_cost(costs: EndpointCosts | None) -> Verdict:
    if costs is None:
        return not_judged("token_cost", "the exchange does not tell what its endpoints cost")
    others = [
        f"{each.path} costs {each.cost}"
        for each in costs.endpoint_costs
        if each.method == "GET" and each.cost > TOKENS_PER_CALL and _is_ours(each.path)
    ]
    if costs.default_cost > TOKENS_PER_CALL:
        others.append(f"by default {costs.default_cost}")
    told = f"{costs.default_cost} by default, {len(costs.endpoint_costs)} exceptions"
    return fails("token_cost", "; ".join(others)) if others else holds("token_cost", told)


def rest_answers(probed: Sequence[Probed]) -> Verdict:
    used = [each for each in probed if each.name != COSTS_PATH]
    failed = [f"{each.name}: {each.error}" for each in used if each.error is not None]
    return counted("rest_answers", "endpoints", len(used), failed)


def rest_fits(probed: Sequence[Probed]) -> Verdict:
    unfit = [f"{each.name}: {problem}" for each in probed for problem in each.unfit]
    return counted("rest_fits", "objects", sum(each.objects for each in probed), unfit)


def rest_pages(pages: Sequence[tuple[list[str], str]]) -> Verdict:
    if not pages or (len(pages) == 1 and not pages[0][1]):
        return not_judged("rest_pages", "there are not two pages of markets")
    cursors = [cursor for _, cursor in pages]
    tickers = [tickers for tickers, _ in pages]
    if len(tickers) == 2 and tickers[0] and tickers[1] and not set(tickers[0]) & set(tickers[1]):
        return holds("rest_pages", f"{tickers[0][0]}, and by its cursor {tickers[1][0]}")
    return fails("rest_pages", f"pages {tickers}, cursors {[cursor[:20] for cursor in cursors]}")


def markets_newest_first(markets: Sequence[Row]) -> Verdict:
    created = [(row[0], row[CREATED]) for row in markets if row[CREATED] is not None]
    later = [f"{after[0]} after {before[0]}" for before, after in pairwise(created) if after[1] > before[1]]
    return counted("markets_newest_first", "markets", len(created), later)


def books_by_batch(asked: Sequence[str], told: Sequence[str]) -> Verdict:
    missing = sorted(set(asked) - set(told)) + [f"{ticker}, not asked for" for ticker in set(told) - set(asked)]
    return counted("books_by_batch", "books in one request", len(asked), missing)


def unknown_market(found: Sequence[str], probed: Sequence[Probed]) -> Verdict:
    asked = [each for each in probed if each.name.endswith("unknown market")]
    wrong = [*found, *(f"{each.name}: {each.error}" for each in asked if each.error)]
    return counted("unknown_market", "requests for one", len(asked), wrong)


def _is_ours(path: str) -> bool:
    return any(part in path for part in OUR_PATHS)
