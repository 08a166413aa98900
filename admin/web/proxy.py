"""Who asks when a proxy asks for others. Of a proxy that KALSHI_ADMIN_PROXY does not name, nothing is answered."""

import contextlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from app.runtime.networks import Address, Networks, address_of

Environ = dict[str, Any]
WSGIApp = Callable[[Environ, Any], Iterable[bytes]]

# Where the reason stands for which the application refuses a request.
REFUSED = "kalshi.refused"
FORWARDED = ("HTTP_FORWARDED", "HTTP_VIA", "HTTP_X_REAL_IP")
FORWARDED_PREFIX = "HTTP_X_FORWARDED_"
UNNAMED = "This came through a proxy that KALSHI_ADMIN_PROXY does not name."


class ForwardingError(Exception):
    """What a proxy says of a request cannot be meant."""


class Forwarding:
    """WSGI middleware: a request that a trusted proxy forwards looks as if its client had sent it here."""

    def __init__(self, app: WSGIApp, proxies: Networks | None) -> None:
        self._app = app
        self._proxies = proxies

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:  # noqa: ANN401 - as WSGI has it
        if is_forwarded(environ):
            try:
                environ.update(as_its_client_sent_it(environ, self._proxies))
            except ForwardingError as error:
                environ[REFUSED] = str(error)
        return self._app(environ, start_response)


def is_forwarded(environ: Mapping[str, Any]) -> bool:
    return any(name in FORWARDED or name.startswith(FORWARDED_PREFIX) for name in environ)


def as_its_client_sent_it(environ: Mapping[str, Any], proxies: Networks | None) -> Environ:
    """Return what the proxy tells of the client in the environment's terms.

    Raises ForwardingError where no proxy is known at the peer's address, or what it says is nonsense.
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
    """Each proxy adds whom it was asked by; what stands before the first that is none of ours, anybody may write."""
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
    """Some proxies add the port."""
    with contextlib.suppress(ValueError):
        return address_of(text)
    with contextlib.suppress(ValueError):
        return address_of(urlsplit(f"//{text}").hostname or "")
    raise ForwardingError(f"X-Forwarded-For holds no address: {text[:50]!r}.")


def _scheme(text: str) -> str:
    if text.lower() not in {"http", "https"}:
        raise ForwardingError(f"X-Forwarded-Proto is neither http nor https: {text[:50]!r}.")
    return text.lower()
