from typing import Annotated, Literal

from msgspec import Meta

from app.kalshi.private_key import PrivateKey
from app.settings.databases import DatabaseSettings

RestUrl = Annotated[str, Meta(pattern="^https?://[^/?#]+[^?#]*$")]
KeyId = Annotated[str, Meta(pattern="^[!-~]+$")]
SocketUrl = Annotated[str, Meta(pattern="^wss?://[^/?#]+/[^?#]+$")]

# The one that RFC 8410 prints to show what such a key looks like: nobody's secret.
EXAMPLE_KEY = (
    "-----BEGIN PRIVATE KEY-----\n"
    "MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n"
    "-----END PRIVATE KEY-----"
)


class ExchangeSettings(DatabaseSettings, frozen=True, kw_only=True):
    environment: Annotated[
        Literal["production", "demo"],
        Meta(description="Which of the exchange's two environments is recorded.", examples=["demo"]),
    ] = "production"
    rest_url: Annotated[
        RestUrl | None,
        Meta(
            description="Where the exchange's REST paths begin. Unset: that of `KALSHI_ENVIRONMENT`.",
            examples=["https://external-api.demo.kalshi.co/trade-api/v2"],
        ),
    ] = None
    ws_url: Annotated[
        SocketUrl | None,
        Meta(
            description="The exchange's socket, with its path. Unset: that of `KALSHI_ENVIRONMENT`.",
            examples=["wss://external-api-ws.demo.kalshi.co/trade-api/ws/v2"],
        ),
    ] = None
    api_key_id: Annotated[
        KeyId | None,
        Meta(
            description="Id of the key for the exchange. A key that may only read is enough.",
            examples=["a952bcbe-ec3b-4b5b-b8f9-11dae589608c"],
        ),
    ] = None
    api_private_key: Annotated[
        PrivateKey | None,
        Meta(
            description="That key in PEM, RSA or Ed25519. Sockets need one; REST without a key has the lowest tier's "
            "request budget.",
            examples=[EXAMPLE_KEY],
        ),
    ] = None
