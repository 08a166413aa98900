import threading
from datetime import UTC, datetime
from typing import NamedTuple, TypeVar

import msgspec
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_delay, stop_never
from tenacity.wait import wait_random_exponential

from app import logs
from app.kalshi.exchange_status import ExchangeStatus, status_in
from app.kalshi.hosts import hosts_of, signer_of
from app.kalshi.http_session import Answer, HttpSession, Parameters
from app.kalshi.request_budget import RequestBudget
from app.kalshi.rest_errors import (
    AccessDeniedError,
    NotFoundError,
    RequestRefusedError,
    RestError,
    UnavailableError,
    UnexpectedAnswerError,
    reason_of,
)
from app.kalshi.token_bucket import BASIC
from app.kalshi.waiting_line import Priority
from app.settings import Settings
from app.stopping import StoppedError, Stopping, pause

log = logs.get(__name__)

Shape = TypeVar("Shape")

STATUS_PATH = "/exchange/status"
NO_ANSWER = "no answer"
CLASSES = ("2xx", "3xx", "4xx", "429", "5xx", "other", NO_ANSWER)
CHECK_THE_KEY = "check that KALSHI_API_KEY_ID and its key belong to KALSHI_ENVIRONMENT, and this host's clock."


class Backoff(NamedTuple):
    """Full jitter: each wait is a random part of a limit that doubles."""

    first_seconds: float = 1
    longest_seconds: float = 300


DEFAULT_BACKOFF = Backoff()


class RestTransport:
    """One call after another within the request budget, each repeated until the exchange answers or refuses it.

    All who call the exchange share one: its connections, its budget, and its word on what a status means.
    """

    def __init__(
        self, session: HttpSession, budget: RequestBudget, stopping: Stopping, backoff: Backoff = DEFAULT_BACKOFF
    ) -> None:
        self.budget = budget
        self._session = session
        self._stopping = stopping
        self._longest_seconds = backoff.longest_seconds
        self._jitter = wait_random_exponential(multiplier=backoff.first_seconds, max=backoff.longest_seconds)
        self._lock = threading.Lock()
        self.answers = dict.fromkeys(CLASSES, 0)
        self.retries = 0

    @property
    def is_signed(self) -> bool:
        return self._session.is_signed

    def get(
        self,
        path: str,
        parameters: Parameters,
        shape: type[Shape],
        priority: Priority,
        patience_seconds: float | None = None,
        stopping: Stopping | None = None,
    ) -> Shape:
        """Return what the exchange answers. Without patience given, ask for as long as we, or this caller, run."""
        stopping = stopping or self._stopping
        retrying = Retrying(
            retry=retry_if_exception_type(UnavailableError),
            wait=self._wait_seconds,
            sleep=lambda seconds: pause(stopping, seconds),
            stop=stop_never if patience_seconds is None else stop_after_delay(patience_seconds),
            before_sleep=self._note_retry,
            reraise=True,
        )
        decoded: Shape = retrying(self._attempt, path, parameters, shape, priority, stopping)
        return decoded

    def status(
        self, priority: Priority, patience_seconds: float | None = None, stopping: Stopping | None = None
    ) -> ExchangeStatus:
        return self.get(STATUS_PATH, {}, ExchangeStatus, priority, patience_seconds, stopping)

    def close(self) -> None:
        self._session.close()

    def _attempt(
        self, path: str, parameters: Parameters, shape: type[Shape], priority: Priority, stopping: Stopping
    ) -> Shape:
        answer = self._send(path, parameters, priority, stopping)
        if answer.status == 200 or (path == STATUS_PATH and status_in(answer.body)):
            return _decode(path, answer.body, shape)
        if answer.status == 429:
            self.budget.empty()
        if answer.status == 503 and path != STATUS_PATH:
            raise UnavailableError(_what(path, answer), resume_seconds=self._resume_seconds(priority, stopping))
        raise _error_of(path, answer)

    def _send(self, path: str, parameters: Parameters, priority: Priority, stopping: Stopping) -> Answer:
        if stopping.is_set():
            raise StoppedError
        self.budget.acquire(priority, stopping)
        try:
            answer = self._session.get(path, parameters)
        except UnavailableError:
            self._count(NO_ANSWER)
            raise
        self._count(_class_of(answer.status))
        return answer

    def _resume_seconds(self, priority: Priority, stopping: Stopping) -> float:
        """When the exchange says that it will be back, if it says so. One question: the caller repeats its own."""
        try:
            status = status_in(self._send(STATUS_PATH, {}, priority, stopping).body)
        except UnavailableError:
            return 0
        return 0 if status is None or status.any_active else status.resume_seconds(datetime.now(UTC))

    def _wait_seconds(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        resume_seconds = error.resume_seconds if isinstance(error, UnavailableError) else 0
        # An estimate is no promise: the exchange may be back long before.
        return min(resume_seconds, self._longest_seconds) + self._jitter(state)

    def _note_retry(self, state: RetryCallState) -> None:
        with self._lock:
            self.retries += 1
        log.warning(
            "asking again",
            reason=str(state.outcome.exception()) if state.outcome else "",
            attempt=state.attempt_number,
            wait_seconds=round(state.upcoming_sleep, 1),
        )

    def _count(self, status_class: str) -> None:
        with self._lock:
            self.answers[status_class] += 1


def transport_of(settings: Settings, stopping: Stopping) -> RestTransport:
    """With this process's part of the lowest tier's budget, until the account's is known. Without a key: with all."""
    session = HttpSession(hosts_of(settings).rest_url, signer_of(settings))
    limits = BASIC.shared_by(settings.request_sharers) if session.is_signed else BASIC
    return RestTransport(session, RequestBudget(limits), stopping)


def _decode(path: str, body: bytes, shape: type[Shape]) -> Shape:
    try:
        return msgspec.json.decode(body, type=shape)
    except (msgspec.ValidationError, RecursionError) as error:
        raise UnexpectedAnswerError(f"The answer to {path} is not what it should be.", str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UnavailableError(f"The answer to {path} is no JSON.", f"{error}: {reason_of(body)}") from error


def _class_of(status: int) -> str:
    name = "429" if status == 429 else f"{status // 100}xx"
    return name if name in CLASSES else "other"


def _what(path: str, answer: Answer) -> str:
    return f"The exchange answered {path} with {answer.status}: {reason_of(answer.body)}"


def _error_of(path: str, answer: Answer) -> RestError:
    what = _what(path, answer)
    if answer.status == 429 or answer.status >= 500:
        return UnavailableError(what)
    if answer.status in {401, 403}:
        return AccessDeniedError(what, fix=CHECK_THE_KEY)
    return NotFoundError(what) if answer.status == 404 else RequestRefusedError(what)
