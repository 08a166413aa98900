"""Where a request comes from, as its connection and a browser tell: this machine, or another site's page."""

from http import HTTPStatus
from typing import NoReturn
from urllib.parse import urlsplit

from flask import Request

from admin.problems import ProblemError
from app.metrics.admin import REFUSED_REQUESTS
from app.networks import is_local

ONLY_READ = {"GET", "HEAD", "OPTIONS"}
OWN_PAGES = {"same-origin", "none"}


def host_of(asked: Request) -> str:
    """Return the host that was asked for, without its port."""
    try:
        return urlsplit(f"//{asked.host}").hostname or ""
    except ValueError:
        return ""


def is_between_local_ends(asked: Request) -> bool:
    """A name that someone else's page made point to this machine is no name of it."""
    return is_local(asked.remote_addr or "") and is_local(host_of(asked))


def refuse_other_sites(asked: Request) -> None:
    """Refuse what another site's page has a browser send.

    Browsers say where a request comes from: over TLS and on this machine by Sec-Fetch-Site, else by Origin alone. What
    says nothing is no browser, and has no one's cookies.
    """
    site, origin = asked.headers.get("Sec-Fetch-Site"), asked.headers.get("Origin")
    if site is None:
        site = "same-origin" if origin is None or origin.partition("://")[2] == asked.host else "cross-site"
    if site not in OWN_PAGES:
        refuse("other site", "This came from another site's page.")


def refuse(rule: str, reason: str) -> NoReturn:
    REFUSED_REQUESTS.labels(rule).inc()
    raise ProblemError(HTTPStatus.FORBIDDEN, reason)
