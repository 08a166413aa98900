"""Find the real client of a request that a proxy forwards.

Headers of a proxy that KALSHI_ADMIN_PROXY does not name are not trusted: its requests are refused.
"""

import contextlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from app.runtime.networks import Address, Networks, address_of

Environ = dict[str, Any]
WSGIApp = Callable[[Environ, Any], Iterable[bytes]]

# The environment's key for the reason why the application refuses a request.
REFUSED = "kalshi.refused"
FORWARDED = ("HTTP_FORWARDED", "HTTP_VIA", "HTTP_X_REAL_IP")
FORWARDED_PREFIX = "HTTP_X_FORWARDED_"
UNNAMED = "This came through a proxy that KALSHI_ADMIN_PROXY does not name."


class ForwardingError(Exception):
    """A proxy's headers about a request are invalid, or the proxy is not trusted."""


class Forwarding:
    """WSGI middleware that makes a request which a trusted proxy forwards look as if its client had sent it here."""

    def __init__(self, app: WSGIApp, proxies: Networks | None) -> None:
        self._app = app
        self._proxies = proxies

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:  # noqa: ANN401 - as WSGI has it
        if is_forwarded(environ):
            try:
                environ.update(client_environ(environ, self._proxies))
            except ForwardingError as error:
                environ[REFUSED] = str(error)
        return self._app(environ, start_response)


def is_forwarded(environ: Mapping[str, Any]) -> bool:
    return any(name in FORWARDED or name.startswith(FORWARDED_PREFIX) for name in environ)


def client_environ(environ: Mapping[str, Any], proxies: Networks | None) -> Environ:
    """Return the environment's values for the client that the proxy names.

    Raise ForwardingError if no trusted proxy has the peer's address, or if its headers are invalid.
    """
    peer = _address(environ.get("REMOTE_ADDR", ""))
    if proxies is None or peer not in proxies:
        raise ForwardingError(UNNAMED)
    told: Environ = {"REMOTE_ADDR": str(_client(peer, _listed(environ, "FOR"), proxies))}
    if scheme := _listed(environ, "PROTO")[-1:]:
        told["wsgi.url_scheme"] = _scheme(scheme[0])
    if host := _listed(environ, "HOST")[-1:]:
        told["HTTP_HOST"] = host[0]
    return told


def _client(peer: Address, hops: list[str], proxies: Networks) -> Address:
    """Return the client's address. Each proxy appends the address that asked it; entries before the first address that
    is not one of our proxies may be forged."""
    client = peer
    for hop in reversed(hops):
        if client not in proxies:
            break
        client = _address(hop)
    return client


def _listed(environ: Mapping[str, Any], what: str) -> list[str]:
    value: str = environ.get(FORWARDED_PREFIX + what, "")
    return [part.strip() for part in value.split(",")] if value else []


def _address(text: str) -> Address:
    """Return the address without the port, which some proxies add."""
    with contextlib.suppress(ValueError):
        return address_of(text)
    with contextlib.suppress(ValueError):
        return address_of(urlsplit(f"//{text}").hostname or "")
    raise ForwardingError(f"X-Forwarded-For contains no address: {text[:50]!r}.")


def _scheme(text: str) -> str:
    if text.lower() not in {"http", "https"}:
        raise ForwardingError(f"X-Forwarded-Proto is neither http nor https: {text[:50]!r}.")
    return text.lower()
