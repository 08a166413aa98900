"""Authentication and authorisation: who sends a request, and whether that role may do what it asks.

In: a bearer token, or the cookie of a session. Out: `g.holder`, or a ProblemError. Wrong tokens are limited by address.
"""

import hashlib
import ipaddress
import math
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import NamedTuple, NoReturn
from urllib.parse import quote, urlencode

from flask import Blueprint, Flask, Request, abort, g, make_response, redirect, render_template, request
from werkzeug.wrappers import Response as AnyResponse

from admin.web.proxy import REFUSED
from app.metrics.process import REFUSED_REQUESTS
from app.ops.application import ONLY_READ, is_between_local_ends, refuse, refuse_other_sites
from app.ops.endpoint import description_of, endpoint
from app.ops.problems import HTML, ProblemError, is_for_a_person
from app.runtime.secrets import Token, TokenRole, Tokens

# Sessions of browsers that are logged in.
#
# Sessions live in the memory of the service's only process: a restart ends all of them, and a stolen database or backup
# opens none. The browser keeps the session's name, never the token.

SESSION_BYTES = 32
LONGEST_SESSION = timedelta(days=7)
LONGEST_UNUSED_SESSION = timedelta(hours=12)
MOST_OF_ONE_TOKEN = 20


def utc_now() -> datetime:
    return datetime.now(UTC)


class LoginSession(NamedTuple):
    """A browser's session, and when it began and was last used."""

    token: Token
    began: datetime
    used: datetime

    def is_over(self, now: datetime) -> bool:
        return (
            now - self.began >= LONGEST_SESSION
            or now - self.used >= LONGEST_UNUSED_SESSION
            or self.token.has_expired(now)
        )


class LoginSessions:
    """Sessions by the digest of the name that the browser presents. A token has at most MOST_OF_ONE_TOKEN; one more
    ends its oldest."""

    def __init__(self, clock: Callable[[], datetime] = utc_now) -> None:
        self._clock = clock
        self._sessions: OrderedDict[bytes, LoginSession] = OrderedDict()  # the oldest first

    def begin(self, token: Token) -> str:
        """Return the session's name."""
        self._remove_expired()
        of_token = [key for key, session in self._sessions.items() if session.token.name == token.name]
        for key in of_token[: max(0, len(of_token) - MOST_OF_ONE_TOKEN + 1)]:
            del self._sessions[key]
        presented, now = secrets.token_urlsafe(SESSION_BYTES), self._clock()
        self._sessions[_digest(presented)] = LoginSession(token, now, now)
        return presented

    def token_of(self, presented: str) -> Token | None:
        """Return the token of the session. Return None if the session is over or unknown."""
        key, now = _digest(presented), self._clock()
        session = self._sessions.get(key)
        if session is None or session.is_over(now):
            self._sessions.pop(key, None)
            return None
        self._sessions[key] = session._replace(used=now)
        return session.token

    def end(self, presented: str) -> None:
        self._sessions.pop(_digest(presented), None)

    def __len__(self) -> int:
        return len(self._sessions)

    def _remove_expired(self) -> None:
        now = self._clock()
        for key in [key for key, session in self._sessions.items() if session.is_over(now)]:
            del self._sessions[key]


def _digest(presented: str) -> bytes:
    # Sessions are looked up by digest, so the time of the look-up reveals nothing about existing names.
    return hashlib.sha256(presented.encode()).digest()


# The page that a browser returns to after the login: the one that it requested before.

LOGIN = "/login"
HOME = "/"
LONGEST_ADDRESS = 2_000


def login_address(asked: Request) -> str:
    """Return the address of the login page, which remembers the page that was asked for."""
    query = f"?{asked.query_string.decode('latin-1')}" if asked.query_string else ""
    page = quote(asked.path) + query
    return LOGIN if page in {HOME, LOGIN} else f"{LOGIN}?{urlencode({'next': own_page(page)})}"


def own_page(wanted: str) -> str:
    """Return `wanted` if it is a page of this service, otherwise the first page: a crafted address could lead
    elsewhere."""
    # Browsers drop tabs and line ends, and treat a backslash as a slash.
    is_plain = all("!" <= letter <= "~" and letter != "\\" for letter in wanted)
    is_own = wanted.startswith("/") and not wanted.startswith("//") and not wanted.startswith(LOGIN)
    return wanted if is_plain and is_own and len(wanted) <= LONGEST_ADDRESS else HOME


# A limit on wrong tokens from one address.


class FailureLimit:
    """A limit on failures for each address: `most` in a period, and no more until it is over. Only the latest
    `most_addresses` are kept."""

    def __init__(
        self,
        most: int = 10,
        period_seconds: float = 60,
        most_addresses: int = 10_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most = most
        self._period_seconds = period_seconds
        self._most_addresses = most_addresses
        self._clock = clock
        self._failures: OrderedDict[str, tuple[float, int]] = OrderedDict()  # since when, and how many

    def wait_seconds(self, address: str) -> float:
        """Return for how long the address may not try again, 0 if it may."""
        since, count = self._current(address)
        return self._period_seconds - (self._clock() - since) if count >= self._most else 0

    def failed(self, address: str) -> None:
        since, count = self._current(address)
        self._failures[address] = (since, count + 1)
        self._failures.move_to_end(address)
        if len(self._failures) > self._most_addresses:
            self._failures.popitem(last=False)

    def _current(self, address: str) -> tuple[float, int]:
        now = self._clock()
        since, count = self._failures.get(address, (now, 0))
        return (since, count) if now - since < self._period_seconds else (now, 0)


UNKNOWN = {"WWW-Authenticate": "Bearer"}
IPV6_SITE_BITS = 64  # the network that one subscriber usually gets


class Holder(NamedTuple):
    """The name and the role of the token that a request was sent with."""

    name: str
    role: TokenRole


LOCAL = Holder("local", TokenRole.OPERATE)


class Access:
    """Admit requests by token or session. Without configured tokens, every client on this machine has all rights, and
    every other client is refused."""

    def __init__(self, tokens: Tokens | None, failures: FailureLimit, sessions: LoginSessions) -> None:
        self._tokens = tokens
        self._failures = failures
        self._sessions = sessions

    def protect(self, app: Flask) -> None:
        app.before_request(lambda: self._admit(app))

    def log_in(self, presented: str, address: str) -> str:
        """Return the name of a new session. Raise ProblemError as token_of() does."""
        return self._sessions.begin(self.token_of(presented, address))

    def log_out(self, asked: Request) -> None:
        self._sessions.end(asked.cookies.get(cookie_name(asked), ""))

    def is_logged_in(self, asked: Request) -> bool:
        return self._sessions.token_of(asked.cookies.get(cookie_name(asked), "")) is not None

    def token_of(self, presented: str, address: str) -> Token:
        """Return the token. Raise ProblemError if it is unknown or has expired.

        A right token is accepted no matter how many wrong ones came from its address: otherwise any client behind the
        same proxy could lock its holder out.
        """
        token = self._tokens.holder(presented) if self._tokens else None
        if token is None:
            self._refuse_wrong_token(_limited(address))
        if token.has_expired(utc_now()):
            REFUSED_REQUESTS.labels("expired token").inc()
            raise ProblemError(HTTPStatus.UNAUTHORIZED, f"The token expired on {token.expires}.", UNKNOWN)
        return token

    def _refuse_wrong_token(self, address: str) -> NoReturn:
        if (wait_seconds := self._failures.wait_seconds(address)) > 0:
            REFUSED_REQUESTS.labels("too many failures").inc()
            raise ProblemError(
                HTTPStatus.TOO_MANY_REQUESTS,
                "Too many wrong tokens from this address.",
                {"Retry-After": str(math.ceil(wait_seconds))},
            )
        self._failures.failed(address)
        REFUSED_REQUESTS.labels("wrong token").inc()
        raise ProblemError(HTTPStatus.UNAUTHORIZED, "The token is unknown.", UNKNOWN)

    def _admit(self, app: Flask) -> None:
        if reason := request.environ.get(REFUSED):
            refuse("proxy", reason)
        if request.endpoint is None or request.endpoint == "static":
            return
        description = description_of(app.view_functions[request.endpoint])
        # An endpoint without a description of its role needs the highest one.
        needed = TokenRole.OPERATE if description is None else description.role
        if request.method not in ONLY_READ:
            refuse_other_sites(request)
        if needed is TokenRole.NOBODY:
            return
        g.holder = self._holder(request, is_page=description is not None and description.types == (HTML,))
        if g.holder.role < needed:
            refuse("role", f"A token of the role {needed.name.lower()} is required.")

    def _holder(self, asked: Request, *, is_page: bool) -> Holder:
        if self._tokens is None:
            _refuse_other_machines(asked)
            return LOCAL
        kind, _, presented = asked.headers.get("Authorization", "").partition(" ")
        if kind.lower() == "bearer" and presented.strip():
            token = self.token_of(presented.strip(), asked.remote_addr or "")
        else:
            session = self._sessions.token_of(asked.cookies.get(cookie_name(asked), ""))
            token = session or _require_login(asked, is_page)
        return Holder(token.name, token.role)


def cookie_name(asked: Request) -> str:
    """Return the name of the session's cookie. Only this host, over TLS, can set a cookie that begins with __Host-."""
    return "__Host-kalshi_session" if asked.is_secure else "kalshi_session"


def _require_login(asked: Request, is_page: bool) -> NoReturn:
    takes_pages = not asked.accept_mimetypes.provided or asked.accept_mimetypes.quality(HTML) > 0
    is_whole_page = is_page and takes_pages and "X-Requested-With" not in asked.headers
    if is_whole_page or (asked.method in ONLY_READ and is_for_a_person(asked)):
        abort(redirect(login_address(asked), HTTPStatus.SEE_OTHER))
    raise ProblemError(HTTPStatus.UNAUTHORIZED, "A token is required.", UNKNOWN)


def _refuse_other_machines(asked: Request) -> None:
    if not is_between_local_ends(asked):
        refuse("not local", "Without KALSHI_ADMIN_TOKENS the admin service answers only on its own machine.")
    # In its default configuration, nginx sends no header about its clients, but it uses HTTP/1.0, as hardly any client
    # does.
    if asked.environ.get("SERVER_PROTOCOL") == "HTTP/1.0":
        refuse("proxy", "Without KALSHI_ADMIN_TOKENS the admin service answers no proxy, and this request is HTTP/1.0.")


def _limited(address: str) -> str:
    """Return whose failures are counted together: for IPv6 a whole /64, since its owner can use any address in it."""
    try:
        network = ipaddress.ip_network(f"{address}/{IPV6_SITE_BITS}", strict=False)
    except ValueError:
        return address
    return str(network) if network.version == 6 else address


# Login with a browser: the token is sent once, and then a cookie keeps the session's name.

PLAIN_HTTP_WARNING = (
    "A token can be intercepted over plain HTTP. Use HTTPS, through the proxy that KALSHI_ADMIN_PROXY names and "
    "that sends X-Forwarded-Proto; or localhost, through an SSH tunnel."
)


def login_blueprint(access: Access) -> Blueprint:
    blueprint = Blueprint("login", __name__)

    @blueprint.get("/login")
    @endpoint("The login form.", TokenRole.NOBODY, types=(HTML,))
    def ask() -> AnyResponse:
        wanted = own_page(request.args.get("next", ""))
        if access.is_logged_in(request):
            return redirect(wanted, HTTPStatus.SEE_OTHER)
        return _form(wanted, PLAIN_HTTP_WARNING if _is_plain_http(request) else None)

    @blueprint.post("/login")
    @endpoint(
        "Begin a session; its name is kept in a cookie that scripts cannot read.", TokenRole.NOBODY, types=(HTML,)
    )
    def log_in() -> AnyResponse:
        wanted = own_page(request.form.get("next", ""))
        if _is_plain_http(request):
            return _form(wanted, PLAIN_HTTP_WARNING, HTTPStatus.FORBIDDEN)
        try:
            session = access.log_in(request.form.get("token", "").strip(), request.remote_addr or "")
        except ProblemError as error:
            return _form(wanted, error.detail, error.status)
        access.log_out(request)  # the session that this browser may still have
        answer = redirect(wanted, HTTPStatus.SEE_OTHER)
        # Lax: a user who follows a link from an alert stays logged in. Changes are accepted only from our own pages.
        answer.set_cookie(
            cookie_name(request), session, LONGEST_SESSION, httponly=True, samesite="Lax", secure=request.is_secure
        )
        return answer

    @blueprint.post("/logout")
    @endpoint("End the session.", TokenRole.NOBODY, types=(HTML,))
    def log_out() -> AnyResponse:
        access.log_out(request)
        answer = redirect(LOGIN, HTTPStatus.SEE_OTHER)
        answer.delete_cookie(cookie_name(request), secure=request.is_secure, httponly=True, samesite="Lax")
        return answer

    return blueprint


def _is_plain_http(asked: Request) -> bool:
    return not (asked.is_secure or is_between_local_ends(asked))


def _form(wanted: str, problem: str | None, status: HTTPStatus = HTTPStatus.OK) -> AnyResponse:
    is_open = problem is not PLAIN_HTTP_WARNING
    return make_response(render_template("login.html", next=wanted, problem=problem, is_open=is_open), status)
