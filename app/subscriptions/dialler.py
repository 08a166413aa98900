import ssl
from collections.abc import Callable
from urllib.parse import urlsplit

from app.errors import SettingsError
from app.kalshi.hosts import hosts_of, signer_of
from app.kalshi.socket import Socket, connect
from app.settings import Settings

TIMEOUT_SECONDS = 10.0


def dialler_of(settings: Settings) -> Callable[[], Socket]:
    """Opens one more socket to the exchange, each time it is called."""
    url, signer = hosts_of(settings).ws_url, signer_of(settings)
    if signer is None:
        raise SettingsError(
            "Sockets need a key.",
            "KALSHI_API_KEY_ID and KALSHI_API_PRIVATE_KEY are not set.",
            "make a key that may read on the exchange's site, and set both.",
        )
    path = urlsplit(url).path
    # Making one takes longer than a handshake, and 150 of them would hold the same authorities 150 times.
    context = ssl.create_default_context() if url.startswith("wss:") else None
    return lambda: connect(url, signer.headers("GET", path), TIMEOUT_SECONDS, context)
