"""REST calls: signed GET requests over kept connections, within the request budget, with retries.

`HttpSession` sends one request and returns any HTTP answer. `RestTransport` maps answers to errors, retries while the
exchange is unavailable, and asks an exchange that answers 503 when it will be back.
"""

import re
import threading
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from http.cookiejar import DefaultCookiePolicy
from typing import NamedTuple, TypeVar
from urllib.parse import urlsplit

import msgspec
import requests
import urllib3
from requests.adapters import HTTPAdapter

from app import __version__
from app.kalshi.endpoints import hosts_of, signer_of
from app.kalshi.errors import (
    AccessDeniedError,
    NotFoundError,
    RequestRefusedError,
    RestError,
    UnavailableError,
    UnexpectedAnswerError,
    reason_of,
)
from app.kalshi.request_budget import BASIC, Priority, RequestBudget
from app.kalshi.rest_objects import ExchangeStatus, status_in
from app.kalshi.signing import Signer
from app.runtime import logs
from app.runtime.backoff import Backoff
from app.runtime.clock import steady_seconds
from app.runtime.health import StoppedError, Stopping, pause
from app.settings import Settings

CONNECTIONS = 32
READ_BYTES = 1 << 18
MAX_ANSWER_BYTES = 256 << 20
# A requests error quotes the whole address, which may name a hundred tickers.
DETAIL_CHARACTERS = 300

Parameters = Mapping[str, str | int | Sequence[str]]

NO_ANSWER_ERRORS = (
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,
    urllib3.exceptions.HTTPError,
)


class Timeouts(NamedTuple):
    connect_seconds: float = 5
    silence_seconds: float = 15
    answer_seconds: float = 60


DEFAULT_TIMEOUTS = Timeouts()


class HttpAnswer(NamedTuple):
    status: int
    body: bytes
    seconds: float  # since the request was signed, those of a suspended host too


class HttpSession:
    """Signed GET requests over kept connections. Redirects are not followed: they would carry the signature away."""

    def __init__(self, base_url: str, signer: Signer | None, timeouts: Timeouts = DEFAULT_TIMEOUTS) -> None:
        self._base_url = base_url
        self._signer = signer
        self._timeouts = timeouts
        self._session = requests.Session()
        self._session.headers["User-Agent"] = f"kalshi-data/{__version__}"
        self._session.headers["Accept"] = "application/json"
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        # Always set, or requests would look for a password in the operator's .netrc.
        self._session.auth = self._sign
        # More callers than connections wait for one of them, rather than opening others.
        adapter = HTTPAdapter(pool_connections=1, pool_maxsize=CONNECTIONS, pool_block=True)
        self._session.mount("http://", adapter)
        self._session.mount("https://", adapter)

    @property
    def is_signed(self) -> bool:
        return self._signer is not None

    def get(self, path: str, parameters: Parameters) -> HttpAnswer:
        """Return the answer, whatever its status. Raise UnavailableError if there is none."""
        timeouts = self._timeouts.connect_seconds, self._timeouts.silence_seconds
        began_seconds = steady_seconds()
        try:
            with self._session.get(
                self._base_url + path, params=dict(parameters), timeout=timeouts, stream=True, allow_redirects=False
            ) as response:
                body = self._read(response.raw, path)
                return HttpAnswer(response.status_code, body, steady_seconds() - began_seconds)
        except NO_ANSWER_ERRORS as error:
            raise UnavailableError(f"The exchange did not answer {path}.", str(error)[:DETAIL_CHARACTERS]) from error

    def close(self) -> None:
        self._session.close()

    def _sign(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._signer is not None:
            path = urlsplit(request.url or "").path
            request.headers.update(self._signer.headers(request.method or "", str(path)))
        return request

    def _read(self, stream: urllib3.BaseHTTPResponse, path: str) -> bytes:
        """Return the whole body, within one deadline.

        The silence timeout alone would let a server that sends a few bytes at a time block us indefinitely.
        """
        deadline = time.monotonic() + self._timeouts.answer_seconds
        body = bytearray()
        while part := stream.read1(READ_BYTES, decode_content=True):
            body += part
            if len(body) > MAX_ANSWER_BYTES:
                raise UnexpectedAnswerError(f"The answer to {path} is larger than {MAX_ANSWER_BYTES} bytes.")
            if time.monotonic() > deadline:
                raise UnavailableError(f"The answer to {path} took more than {self._timeouts.answer_seconds} s.")
        return bytes(body)


log = logs.get(__name__)

Shape = TypeVar("Shape")

STATUS_PATH = "/exchange/status"
NO_ANSWER = "no answer"
# Pairs come before halves; a backslash is no escape where it is escaped itself.
ESCAPES = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?P<half>u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)
CLASSES = ("2xx", "3xx", "4xx", "429", "5xx", "other", NO_ANSWER)
# A request that takes longer may arrive with a signature that has expired.
SIGNATURE_SECONDS = 5.0
CHECK_THE_KEY = "check that KALSHI_API_KEY_ID and its key belong to KALSHI_ENVIRONMENT, and this host's clock."


class RetrySeconds(NamedTuple):
    """Bounds of the wait between retries, with full jitter: each wait is a random part of a limit that doubles."""

    first_seconds: float = 1
    longest_seconds: float = 300


DEFAULT_RETRY_SECONDS = RetrySeconds()


class RestTransport:
    """Send calls within the request budget, and retry each until the exchange answers or refuses it.

    All callers of the exchange in a process share one transport: its connections, its budget, and its mapping of
    statuses to errors.
    """

    def __init__(
        self,
        session: HttpSession,
        budget: RequestBudget,
        stopping: Stopping,
        backoff: RetrySeconds = DEFAULT_RETRY_SECONDS,
    ) -> None:
        self.budget = budget
        self._session = session
        self._stopping = stopping
        self._retry_seconds = backoff
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
        """Return the decoded answer. Without `patience_seconds`, retry until this caller or the process stops."""
        stopping = stopping or self._stopping
        backoff, began_seconds = Backoff(*self._retry_seconds, jitter=1.0), time.monotonic()
        while True:
            try:
                return self._attempt(path, parameters, shape, priority, stopping)
            except UnavailableError as error:
                if patience_seconds is not None and time.monotonic() - began_seconds >= patience_seconds:
                    raise
                wait_seconds = self._wait_seconds(error, backoff)
            pause(stopping, wait_seconds)

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
        if answer.status == 401 and answer.seconds > SIGNATURE_SECONDS:
            # The host was suspended, or the process stopped, between the signature and its arrival: it says nothing of
            # the key, and five minutes without the exchange would follow.
            raise UnavailableError(f"The signature for {path} was too old when it arrived.")
        # The exchange sends its status with 500, 503 and 504 too: then it is an answer, not a failure.
        if answer.status == 200 or (path == STATUS_PATH and status_in(answer.body)):
            return _decode(path, answer.body, shape)
        if answer.status == 429:
            # The bucket of the exchange is empty, so ours has to be, or the next callers would be refused as well.
            self.budget.empty()
        if answer.status == 503 and path != STATUS_PATH:
            raise UnavailableError(_description(path, answer), resume_seconds=self._resume_seconds(priority, stopping))
        raise _error_of(path, answer)

    def _send(self, path: str, parameters: Parameters, priority: Priority, stopping: Stopping) -> HttpAnswer:
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
        """Return the seconds until the exchange expects to be back, 0 if unknown.

        The question is sent once: the caller retries its own call.
        """
        try:
            status = status_in(self._send(STATUS_PATH, {}, priority, stopping).body)
        except UnavailableError:
            return 0
        return 0 if status is None or status.any_active else status.resume_seconds(datetime.now(UTC))

    def _wait_seconds(self, error: UnavailableError, backoff: Backoff) -> float:
        """Count and log a retry. Return how long to wait before it."""
        # The estimate is capped, since the exchange may be back long before.
        wait_seconds = min(error.resume_seconds, self._retry_seconds.longest_seconds) + backoff.failed()
        with self._lock:
            self.retries += 1
        log.warning("request retried", reason=str(error), attempt=backoff.failures, wait_seconds=round(wait_seconds, 1))
        return wait_seconds

    def _count(self, status_class: str) -> None:
        with self._lock:
            self.answers[status_class] += 1


def transport_of(settings: Settings, stopping: Stopping) -> RestTransport:
    """Create the transport with this process's share of the lowest tier's budget, until the account's limits are known.

    Without a key there is nothing to share: the process has the lowest tier's whole budget.
    """
    session = HttpSession(hosts_of(settings).rest_url, signer_of(settings))
    limits = BASIC.shared_by(settings.request_sharers) if session.is_signed else BASIC
    return RestTransport(session, RequestBudget(limits), stopping)


def _decode(path: str, body: bytes, shape: type[Shape]) -> Shape:
    try:
        return msgspec.json.decode(body, type=shape)
    except (msgspec.ValidationError, RecursionError) as error:
        raise UnexpectedAnswerError(f"The answer to {path} has an unexpected form.", str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        whole = _with_whole_characters(body)
        if whole != body:
            return _decode(path, whole, shape)
        # A proxy's page, for example: a later attempt may reach the exchange itself.
        raise UnavailableError(f"The answer to {path} is not JSON.", f"{error}: {reason_of(body)}") from error


def _with_whole_characters(body: bytes) -> bytes:
    """Return the body with another character for each half of one, as of a title that was cut: or no market of its page
    could ever be read."""
    return ESCAPES.sub(lambda escape: rb"\ufffd" if escape["half"] else escape[0], body)


def _class_of(status: int) -> str:
    name = "429" if status == 429 else f"{status // 100}xx"
    return name if name in CLASSES else "other"


def _description(path: str, answer: HttpAnswer) -> str:
    return f"The exchange answered {path} with {answer.status}: {reason_of(answer.body)}"


def _error_of(path: str, answer: HttpAnswer) -> RestError:
    what = _description(path, answer)
    if answer.status == 429 or answer.status >= 500:
        return UnavailableError(what)
    if answer.status in {401, 403}:
        return AccessDeniedError(what, fix=CHECK_THE_KEY)
    return NotFoundError(what) if answer.status == 404 else RequestRefusedError(what)
