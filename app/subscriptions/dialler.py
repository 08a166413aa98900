import ssl
from collections.abc import Callable
from urllib.parse import urlsplit

from app.errors import SettingsError
from app.kalshi.hosts import hosts_of, required_signer
from app.kalshi.socket import Socket, connect
from app.settings import Settings

TIMEOUT_SECONDS = 10.0
MOST_SOCKETS = 150
FEWEST_SOCKETS = 7  # two each for tickers, trades and lifecycle, and one for order books


def sockets_of(settings: Settings) -> int:
    """Return how many sockets this gatherer opens: never more than its share of what the account is granted."""
    granted, gatherers = settings.account_connections, settings.gatherers
    share = granted // gatherers
    sockets = settings.ws_connections or min(MOST_SOCKETS, share)
    if sockets < FEWEST_SOCKETS:
        raise SettingsError(
            "The account's connections are not enough.",
            f"{gatherers} gatherers share {granted} of them, and each needs {FEWEST_SOCKETS}.",
            "lower KALSHI_GATHERERS, or raise KALSHI_ACCOUNT_CONNECTIONS to what the exchange grants.",
        )
    if sockets > share:
        raise SettingsError(
            "All gatherers together ask for more connections than the account is granted.",
            f"{gatherers} times KALSHI_WS_CONNECTIONS={sockets} is more than KALSHI_ACCOUNT_CONNECTIONS={granted}.",
            f"unset KALSHI_WS_CONNECTIONS or give {share} at most, or raise KALSHI_ACCOUNT_CONNECTIONS to what the "
            "exchange grants.",
        )
    return sockets


def dialler_of(settings: Settings) -> Callable[[], Socket]:
    """Opens one more socket to the exchange, each time it is called."""
    url, signer = hosts_of(settings).ws_url, required_signer(settings)
    path = urlsplit(url).path
    # Making one takes longer than a handshake, and 150 of them would hold the same authorities 150 times.
    context = ssl.create_default_context() if url.startswith("wss:") else None
    return lambda: connect(url, signer.headers("GET", path), TIMEOUT_SECONDS, context)
