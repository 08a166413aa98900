import time
from collections.abc import Mapping, Sequence
from http.cookiejar import DefaultCookiePolicy
from typing import NamedTuple
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter

from app import __version__
from app.kalshi.rest_errors import UnavailableError, UnexpectedAnswerError
from app.kalshi.signing import Signer

CONNECTIONS = 32
READ_BYTES = 1 << 18
MAX_ANSWER_BYTES = 256 << 20
# An error tells the whole address, which may name a hundred tickers.
DETAIL_CHARACTERS = 300

Parameters = Mapping[str, str | int | Sequence[str]]

NO_ANSWER = (
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


class Answer(NamedTuple):
    status: int
    body: bytes


class HttpSession:
    """Signed GET requests over connections that are kept. Redirects are not followed: the signature would go along."""

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
        adapter = HTTPAdapter(pool_connections=1, pool_maxsize=CONNECTIONS, pool_block=True)
        self._session.mount("http://", adapter)
        self._session.mount("https://", adapter)

    @property
    def is_signed(self) -> bool:
        return self._signer is not None

    def get(self, path: str, parameters: Parameters) -> Answer:
        """Any status is an answer; none at all is an UnavailableError."""
        timeouts = self._timeouts.connect_seconds, self._timeouts.silence_seconds
        try:
            with self._session.get(
                self._base_url + path, params=dict(parameters), timeout=timeouts, stream=True, allow_redirects=False
            ) as response:
                return Answer(response.status_code, self._read(response.raw, path))
        except NO_ANSWER as error:
            raise UnavailableError(f"The exchange did not answer {path}.", str(error)[:DETAIL_CHARACTERS]) from error

    def close(self) -> None:
        self._session.close()

    def _sign(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._signer is not None:
            path = urlsplit(request.url or "").path
            request.headers.update(self._signer.headers(request.method or "", str(path)))
        return request

    def _read(self, stream: urllib3.BaseHTTPResponse, path: str) -> bytes:
        """All of the body. With a timeout of silence alone, a server that drips would hold us for ever."""
        deadline = time.monotonic() + self._timeouts.answer_seconds
        body = bytearray()
        while part := stream.read1(READ_BYTES, decode_content=True):
            body += part
            if len(body) > MAX_ANSWER_BYTES:
                raise UnexpectedAnswerError(f"The answer to {path} is larger than {MAX_ANSWER_BYTES} bytes.")
            if time.monotonic() > deadline:
                raise UnavailableError(f"The answer to {path} took more than {self._timeouts.answer_seconds} s.")
        return bytes(body)
