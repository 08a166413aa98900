"""Run one rehearsal: REST, then sockets, then verdicts. It only reads and changes nothing."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import NamedTuple

from app import __version__
from app.kalshi.endpoints import Hosts, hosts_of, required_signer
from app.kalshi.errors import HandshakeRefusedError, SocketError
from app.kalshi.request_budget import BASIC, RequestBudget
from app.kalshi.rest_transport import RestTransport
from app.normalize.events import rest_trade_row
from app.normalize.metadata import market_row
from app.normalize.values import SECOND_US
from app.rehearsal.assumptions import Verdict, fails, holds, not_judged
from app.rehearsal.book_verdicts import book_verdicts
from app.rehearsal.known_fields import MARKET, TRADE
from app.rehearsal.listeners import Dial, SocketSession, dial_of, listen, sockets_at_once
from app.rehearsal.merge_verdicts import merge_verdicts, streamed_trades_us, trades_match_rest
from app.rehearsal.report import RehearsalReport, complete
from app.rehearsal.rest_probe import NotedSession, RestProbe, rest_verdicts
from app.rehearsal.stream_verdicts import channels_known, hears_all_markets, stream_verdicts
from app.runtime.clock import now_us
from app.settings import Settings
from app.storage.tables import MARKETS
from app.subscriptions.dial_queue import sockets_of

CANDIDATES = 100
COMPARED_US = 30 * SECOND_US  # of trades
MOST_TRADES = 50_000
REFUSED = (401, 403)
STATUS, CLOSE_TIME = (MARKETS.column_names.index(name) for name in ("status", "close_time"))

Tell = Callable[[str], None]


class RehearsalPlan(NamedTuple):
    """The extent of a rehearsal. `sockets` are opened together; None: as many as all gatherers open."""

    seconds: float
    markets: int
    sockets: int | None = None


def rehearse(settings: Settings, plan: RehearsalPlan, tell: Tell) -> RehearsalReport:
    signer, hosts = required_signer(settings), hosts_of(settings)
    wanted = sockets_of(settings) * settings.gatherers if plan.sockets is None else plan.sockets
    started_at = datetime.now(UTC)
    session = NotedSession(hosts.rest_url, signer)
    transport = RestTransport(session, RequestBudget(BASIC.shared_by(settings.request_sharers)), threading.Event())
    try:
        probe = RestProbe(transport, session)
        return _Rehearsal(settings, plan, probe, dial_of(hosts.ws_url, signer), tell).run(hosts, started_at, wanted)
    finally:
        transport.close()


class _Rehearsal:
    def __init__(self, settings: Settings, plan: RehearsalPlan, probe: RestProbe, dial: Dial, tell: Tell) -> None:
        self._settings = settings
        self._plan = plan
        self._probe = probe
        self._dial = dial
        self._tell = tell
        self._verdicts: list[Verdict] = []

    def run(self, hosts: Hosts, started_at: datetime, wanted: int) -> RehearsalReport:
        """Run all steps and return the report."""
        self._tell("asking every REST endpoint")
        self._probe.run(self._settings.request_sharers)
        self._verdicts += rest_verdicts(self._probe)
        tickers = self._markets()
        heard = self._listen(tickers) if self._opens_sockets() and tickers else None
        if heard is not None:
            self._judge(heard, tickers)
        granted = self._count_sockets(wanted)
        limits = self._probe.limits
        account: dict[str, object] = {
            "tier": limits.usage_tier if limits else "unknown",
            "tokens_per_second": limits.read.refill_rate if limits else "unknown",
            "bucket_capacity": limits.read.bucket_capacity if limits else "unknown",
            "sockets_opened_at_once": granted,
            "sockets_wanted": wanted,
        }
        records = [*heard.books, *heard.whole] if heard else []
        return RehearsalReport(
            __version__,
            started_at.isoformat(timespec="seconds"),
            hosts.rest_url,
            hosts.ws_url,
            account,
            tickers,
            complete(self._verdicts),
            self._probe.probed,
            records,
        )

    def _markets(self) -> list[str]:
        """Choose the busiest markets that stay open while we listen; if none does, the busiest."""
        busiest = self._probe.busiest()[:CANDIDATES]
        ask = partial(self._probe.client.named_markets, busiest)
        rows = self._probe.list_of("/markets tickers, the busiest", ask, market_row, MARKET)
        until_us = now_us() + int(2 * self._plan.seconds * SECOND_US)
        staying = {row[0] for row in rows if row[STATUS] == "active" and (row[CLOSE_TIME] or until_us) >= until_us}
        return ([ticker for ticker in busiest if ticker in staying] or busiest)[: self._plan.markets]

    def _opens_sockets(self) -> bool:
        opened, error = sockets_at_once(self._dial, 1)
        if opened:
            self._verdicts.append(holds("key_opens_sockets", "one opened"))
        else:
            is_refused = isinstance(error, HandshakeRefusedError) and error.status in REFUSED
            self._verdicts.append((fails if is_refused else not_judged)("key_opens_sockets", str(error)))
        return bool(opened)

    def _listen(self, tickers: list[str]) -> SocketSession | None:
        self._tell(f"listening to {len(tickers)} markets for {self._plan.seconds:g} s")
        try:
            return listen(self._dial, self._probe.client, tickers, self._plan.seconds)
        except SocketError as error:
            self._tell(f"sockets cannot be opened: {error}")
            return None

    def _judge(self, heard: SocketSession, tickers: list[str]) -> None:
        self._tell("computing verdicts")
        records = [*heard.books, *heard.whole]
        self._verdicts += [
            channels_known(heard.asked),
            hears_all_markets(heard.whole, tickers),
            *stream_verdicts(records, self._settings.stale_seconds),
            *merge_verdicts([each.heard for each in heard.books], [each.heard for each in heard.whole]),
            *book_verdicts(heard.books, heard.whole, heard.polls, tickers),
            self._trades(heard),
        ]

    def _trades(self, heard: SocketSession) -> Verdict:
        streamed = heard.whole[0].heard
        bounds = streamed_trades_us(streamed)
        if bounds is None:
            return not_judged("trades_match_rest", "no trade came")
        since_us, until_us = max(bounds[0], bounds[1] - COMPARED_US), bounds[1]
        ask = partial(self._probe.client.trades, since_us // SECOND_US, until_us // SECOND_US + 1)
        name = "/markets/trades min_ts max_ts"
        rows = self._probe.list_of(name, ask, rest_trade_row, TRADE, MOST_TRADES)
        if len(rows) == MOST_TRADES:
            return not_judged("trades_match_rest", f"REST lists more than {MOST_TRADES} trades")
        return trades_match_rest(streamed, rows, since_us, until_us)

    def _count_sockets(self, wanted: int) -> int:
        self._tell(f"opening {wanted} sockets at once")
        granted, why = sockets_at_once(self._dial, wanted)
        told = f"{granted} of {wanted} opened at once"
        if why is None:
            self._verdicts.append(holds("sockets_granted", told))
        else:
            told += f", then: {why}; others that use this key at the moment count as well"
            self._verdicts.append((fails if granted else not_judged)("sockets_granted", told))
        return granted
