"""Who asks, and whether they may."""

import ipaddress
import math
from http import HTTPStatus
from typing import NamedTuple, NoReturn

from flask import Flask, Request, abort, g, redirect, request

from admin.described import description_of
from admin.failure_limit import FailureLimit
from admin.forwarding import REFUSED
from admin.origins import ONLY_READ, is_between_local_ends, refuse, refuse_other_sites
from admin.problems import ProblemError, is_for_a_person
from admin.return_address import login_address
from admin.sessions import Sessions, utc_now
from app.metrics.admin import REFUSED_REQUESTS
from app.tokens import Role, Token, Tokens

UNKNOWN = {"WWW-Authenticate": "Bearer"}
IPV6_SITE_BITS = 64  # what one subscriber is given


class Holder(NamedTuple):
    name: str
    role: Role


LOCAL = Holder("local", Role.OPERATE)


class Access:
    """Without tokens, everybody on this machine may do everything, and nobody else anything."""

    def __init__(self, tokens: Tokens | None, failures: FailureLimit, sessions: Sessions) -> None:
        self._tokens = tokens
        self._failures = failures
        self._sessions = sessions

    def protect(self, app: Flask) -> None:
        app.before_request(lambda: self._admit(app))

    def log_in(self, presented: str, address: str) -> str:
        """Return the name of a new session. Raises ProblemError as token_of does."""
        return self._sessions.begin(self.token_of(presented, address))

    def log_out(self, asked: Request) -> None:
        self._sessions.end(asked.cookies.get(cookie_name(asked), ""))

    def is_logged_in(self, asked: Request) -> bool:
        return self._sessions.token_of(asked.cookies.get(cookie_name(asked), "")) is not None

    def token_of(self, presented: str, address: str) -> Token:
        """Raises ProblemError where it is nobody's, or has expired.

        A right token is accepted however many wrong ones came from its address: else anybody behind the same proxy
        could keep its holder out.
        """
        token = self._tokens.holder(presented) if self._tokens else None
        if token is None:
            self._refuse_wrong_token(_limited(address))
        if token.has_expired(utc_now()):
            REFUSED_REQUESTS.labels("expired token").inc()
            raise ProblemError(HTTPStatus.UNAUTHORIZED, f"This token expired on {token.expires}.", UNKNOWN)
        return token

    def _refuse_wrong_token(self, address: str) -> NoReturn:
        if (wait_seconds := self._failures.wait_seconds(address)) > 0:
            REFUSED_REQUESTS.labels("too many failures").inc()
            raise ProblemError(
                HTTPStatus.TOO_MANY_REQUESTS,
                "Too many wrong tokens came from this address.",
                {"Retry-After": str(math.ceil(wait_seconds))},
            )
        self._failures.failed(address)
        REFUSED_REQUESTS.labels("wrong token").inc()
        raise ProblemError(HTTPStatus.UNAUTHORIZED, "This token is not known.", UNKNOWN)

    def _admit(self, app: Flask) -> None:
        if reason := request.environ.get(REFUSED):
            refuse("proxy", reason)
        if request.endpoint is None or request.endpoint == "static":
            return
        description = description_of(app.view_functions[request.endpoint])
        needed = Role.OPERATE if description is None else description.role
        if request.method not in ONLY_READ:
            refuse_other_sites(request)
        if needed is Role.NOBODY:
            return
        g.holder = self._holder(request)
        if g.holder.role < needed:
            refuse("role", f"This needs a token of the role {needed.name.lower()}.")

    def _holder(self, asked: Request) -> Holder:
        if self._tokens is None:
            _refuse_other_machines(asked)
            return LOCAL
        kind, _, presented = asked.headers.get("Authorization", "").partition(" ")
        if kind.lower() == "bearer" and presented.strip():
            token = self.token_of(presented.strip(), asked.remote_addr or "")
        else:
            token = self._sessions.token_of(asked.cookies.get(cookie_name(asked), "")) or _have_log_in(asked)
        return Holder(token.name, token.role)


def cookie_name(asked: Request) -> str:
    """Return the name of the session's cookie. Nobody but this host, over TLS, can set one that begins with __Host-."""
    return "__Host-kalshi_session" if asked.is_secure else "kalshi_session"


def _have_log_in(asked: Request) -> NoReturn:
    is_page = asked.blueprint == "pages" and "HX-Request" not in asked.headers
    if is_page or (asked.method in ONLY_READ and is_for_a_person(asked)):
        abort(redirect(login_address(asked), HTTPStatus.SEE_OTHER))
    raise ProblemError(HTTPStatus.UNAUTHORIZED, "This needs a token.", UNKNOWN)


def _refuse_other_machines(asked: Request) -> None:
    if not is_between_local_ends(asked):
        refuse("not local", "Without KALSHI_ADMIN_TOKENS this answers on its own machine alone.")
    # nginx as it comes tells nothing of those for whom it asks, and asks by HTTP/1.0, as hardly anybody else does.
    if asked.environ.get("SERVER_PROTOCOL") == "HTTP/1.0":
        refuse("proxy", "Without KALSHI_ADMIN_TOKENS this answers no proxy, which asks by HTTP/1.0.")


def _limited(address: str) -> str:
    """Return whose failures are counted: of IPv6 a whole site, which may use any address of its own."""
    try:
        network = ipaddress.ip_network(f"{address}/{IPV6_SITE_BITS}", strict=False)
    except ValueError:
        return address
    return str(network) if network.version == 6 else address
