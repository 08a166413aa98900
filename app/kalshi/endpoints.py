"""Turn settings into what a connection needs: the addresses of the two hosts, and the signer of the key."""

from typing import Literal, NamedTuple

from app.errors import SettingsError
from app.kalshi.signing import Signer
from app.settings import Settings


class Hosts(NamedTuple):
    """The base URL of REST and the address of the WebSocket: the exchange serves them from two hosts."""

    rest_url: str
    ws_url: str


PRESETS: dict[Literal["production", "demo"], Hosts] = {
    "production": Hosts(
        "https://external-api.kalshi.com/trade-api/v2", "wss://external-api-ws.kalshi.com/trade-api/ws/v2"
    ),
    "demo": Hosts(
        "https://external-api.demo.kalshi.co/trade-api/v2", "wss://external-api-ws.demo.kalshi.co/trade-api/ws/v2"
    ),
}


def hosts_of(settings: Settings) -> Hosts:
    preset = PRESETS[settings.environment]
    return Hosts((settings.rest_url or preset.rest_url).rstrip("/"), settings.ws_url or preset.ws_url)


def signer_of(settings: Settings) -> Signer | None:
    """Return the signer, or None if no key is set: REST answers unsigned calls, sockets refuse them."""
    if settings.api_key_id and settings.api_private_key:
        return Signer(settings.api_key_id, settings.api_private_key)
    if settings.api_key_id or settings.api_private_key:
        raise SettingsError(
            "The API key is incomplete.",
            "KALSHI_API_KEY_ID and KALSHI_API_PRIVATE_KEY belong together.",
            "set both, or neither.",
        )
    return None


def required_signer(settings: Settings) -> Signer:
    """Return the signer for a WebSocket. Raise SettingsError if no key is set, since sockets need one."""
    signer = signer_of(settings)
    if signer is None:
        raise SettingsError(
            "WebSockets need an API key.",
            "KALSHI_API_KEY_ID and KALSHI_API_PRIVATE_KEY are not set.",
            "create a read-only key on the exchange's website, and set both.",
        )
    return signer
