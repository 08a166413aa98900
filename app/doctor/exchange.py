"""Check the exchange: reachable, accepts the key, clock in step, and enough sockets granted."""

from collections.abc import Iterator

import msgspec

from app.doctor.check import DEDUPLICATOR, GATHERER, Check, failed, judged, note
from app.errors import OperatorError
from app.kalshi.endpoints import hosts_of, signer_of
from app.kalshi.errors import RestError, SocketError, SocketTimeoutError, reason_of
from app.kalshi.rest_objects import AccountLimits, status_in
from app.kalshi.rest_transport import HttpSession, Timeouts
from app.kalshi.signing import Signer
from app.rehearsal.assumptions import Judgement
from app.rehearsal.listeners import dial_of
from app.rehearsal.socket_record import SocketRecord
from app.rehearsal.stream_verdicts import clock_offset
from app.runtime.clock import now_us
from app.settings import Settings
from app.subscriptions.dial_queue import sockets_of

TIMEOUTS = Timeouts(connect_seconds=5, silence_seconds=5, answer_seconds=10)
MOST_READS = 20


def exchange_checks(settings: Settings) -> Iterator[Check]:
    try:
        signer = signer_of(settings)
    except OperatorError as error:
        yield failed("key", f"{error.what} {error.detail}", (GATHERER,))
        return
    if not _is_of_use(settings):
        yield note("key", "none is set: gatherers need one", (GATHERER,))
        yield note("exchange", "not checked: no setting of this host needs it")
        return
    yield from _rest(settings, signer)
    if signer is None:
        yield note("key", "none is set: gatherers need one", (GATHERER,))
        return
    yield _sockets(settings)
    yield from _socket(hosts_of(settings).ws_url, signer)


def _is_of_use(settings: Settings) -> bool:
    """Return whether any process that is configured here uses the exchange."""
    is_gatherer = settings.ts_dsn is not None and settings.meta_dsn is not None
    given = (settings.api_key_id, settings.rest_url, settings.ws_url, settings.gatherer_dsns)
    return is_gatherer or any(each is not None for each in given)


def _rest(settings: Settings, signer: Signer | None) -> Iterator[Check]:
    url = hosts_of(settings).rest_url
    session = HttpSession(url, signer, TIMEOUTS)
    try:
        answer = session.get("/exchange/status", {})
        status = status_in(answer.body)
        if status is None:
            told = f"{url} answered {answer.status}: {reason_of(answer.body)}"
            yield failed("exchange", f"{told}. Fix: check KALSHI_REST_URL and KALSHI_ENVIRONMENT.", (GATHERER,))
            return
        yield judged(
            "exchange", f"{url} answers; {'trading is open' if status.any_trading else 'trading is halted'}", ok=True
        )
        if signer is not None:
            yield _key(session)
    except RestError as error:
        yield failed("exchange", f"{error}; check KALSHI_REST_URL and this host's network", (GATHERER, DEDUPLICATOR))
    finally:
        session.close()


def _key(session: HttpSession) -> Check:
    answer = session.get("/account/limits", {})
    try:
        limits = msgspec.json.decode(answer.body, type=AccountLimits)
    except (msgspec.DecodeError, UnicodeDecodeError):
        fix = "check that id and key belong together and to KALSHI_ENVIRONMENT, and this host's clock"
        return failed("key", f"the exchange answered {answer.status}: {reason_of(answer.body)}; {fix}", (GATHERER,))
    tier = limits.usage_tier or "unnamed"
    return judged("key", f"it may read; tier {tier}, {limits.read.refill_rate} tokens a second", ok=True)


def _sockets(settings: Settings) -> Check:
    try:
        sockets = sockets_of(settings)
    except OperatorError as error:
        return failed("sockets", f"{error.what} {error.detail} Fix: {error.fix}", (GATHERER,))
    together, granted = sockets * settings.gatherers, settings.account_connections
    told = f"{sockets} here and {together} of all gatherers, and KALSHI_ACCOUNT_CONNECTIONS grants {granted}"
    return judged("sockets", f"{told}; kalshi-data rehearse tests whether the exchange does", ok=True)


def _socket(url: str, signer: Signer) -> Iterator[Check]:
    record = SocketRecord(0, ())
    try:
        with dial_of(url, signer)() as socket:
            socket.send(record.commands.list_subscriptions(None, now_us()))
            for _ in range(MOST_READS):
                if record.round_trips:
                    break
                try:
                    batch = socket.receive()
                except SocketTimeoutError:
                    continue
                for frame in batch.messages:
                    record.take(frame, batch.received_us)
    except SocketError as error:
        yield failed("socket", f"{url}: {error}; check KALSHI_WS_URL, the key and this host's network", (GATHERER,))
        return
    yield judged("socket", f"{url} opens", ok=True)
    verdict = clock_offset([record])
    fix = "; correct this host's clock: chronyc tracking" if verdict.answer is Judgement.NO else ""
    yield judged("exchange clock", verdict.evidence + fix, (GATHERER,), ok=verdict.answer is not Judgement.NO)
