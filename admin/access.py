"""Who asks, and whether they may."""

import ipaddress
import math
from http import HTTPStatus
from typing import NamedTuple
from urllib.parse import urlsplit

from flask import Flask, Request, abort, g, redirect, request

from admin.described import description_of
from admin.failure_limit import FailureLimit
from admin.problems import ProblemError
from app.metrics.admin import REFUSED_REQUESTS
from app.tokens import Role, Tokens

COOKIE = "kalshi_token"
ONLY_READ = {"GET", "HEAD", "OPTIONS"}


class Holder(NamedTuple):
    name: str
    role: Role


LOCAL = Holder("local", Role.OPERATE)


class Access:
    """Without tokens, everybody on this machine may do everything, and nobody else anything."""

    def __init__(self, tokens: Tokens | None, failures: FailureLimit) -> None:
        self._tokens = tokens
        self._failures = failures

    def protect(self, app: Flask) -> None:
        app.before_request(lambda: self._admit(app))

    def holder_of(self, presented: str, address: str) -> Holder:
        """Raises ProblemError where it is nobody's, or where this address has guessed too often."""
        if (wait_seconds := self._failures.wait_seconds(address)) > 0:
            REFUSED_REQUESTS.labels("too many failures").inc()
            raise ProblemError(
                HTTPStatus.TOO_MANY_REQUESTS,
                "Too many wrong tokens came from this address.",
                {"Retry-After": str(math.ceil(wait_seconds))},
            )
        token = self._tokens.holder(presented) if self._tokens else None
        if token is None:
            self._failures.failed(address)
            REFUSED_REQUESTS.labels("wrong token").inc()
            raise ProblemError(HTTPStatus.UNAUTHORIZED, "This token is not known.", {"WWW-Authenticate": "Bearer"})
        return Holder(token.name, token.role)

    def _admit(self, app: Flask) -> None:
        if request.endpoint is None or request.endpoint == "static":
            return
        description = description_of(app.view_functions[request.endpoint])
        needed = Role.OPERATE if description is None else description.role
        if request.method not in ONLY_READ:
            _refuse_other_sites(request)
        if needed is Role.NOBODY:
            return
        g.holder = self._holder(request)
        if g.holder.role < needed:
            REFUSED_REQUESTS.labels("role").inc()
            raise ProblemError(HTTPStatus.FORBIDDEN, f"This needs a token of the role {needed.name.lower()}.")

    def _holder(self, asked: Request) -> Holder:
        if self._tokens is None:
            _refuse_other_machines(asked)
            return LOCAL
        kind, _, presented = asked.headers.get("Authorization", "").partition(" ")
        if kind.lower() != "bearer":
            presented = asked.cookies.get(COOKIE, "")
        if not presented:
            if asked.blueprint == "pages" and "HX-Request" not in asked.headers:
                abort(redirect("/login", HTTPStatus.SEE_OTHER))
            raise ProblemError(HTTPStatus.UNAUTHORIZED, "This needs a token.", {"WWW-Authenticate": "Bearer"})
        return self.holder_of(presented.strip(), asked.remote_addr or "")


def is_local(host: str) -> bool:
    """Whether a host, or an address, is this machine's own."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _refuse_other_machines(asked: Request) -> None:
    """A name that someone else's page made point to this machine is no name of it."""
    host = urlsplit(f"//{asked.host}").hostname or ""
    if not (is_local(asked.remote_addr or "") and is_local(host)):
        REFUSED_REQUESTS.labels("not local").inc()
        raise ProblemError(HTTPStatus.FORBIDDEN, "Without KALSHI_ADMIN_TOKENS this answers on its own machine alone.")


def _refuse_other_sites(asked: Request) -> None:
    """Browsers say where a request comes from; what says nothing is no browser, and has no one's cookies."""
    origin = asked.headers.get("Origin")
    site = asked.headers.get("Sec-Fetch-Site", "same-origin")
    if site not in {"same-origin", "none"} or (origin is not None and urlsplit(origin).netloc != asked.host):
        REFUSED_REQUESTS.labels("other site").inc()
        raise ProblemError(HTTPStatus.FORBIDDEN, "This came from another site's page.")
