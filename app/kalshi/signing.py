"""Signatures for the exchange, by RSA-PSS or Ed25519 as the key's type demands."""

import base64
import time
from collections.abc import Callable

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from app.runtime.secrets import Secret

RSA_PADDING = PSS(MGF1(SHA256()), salt_length=SHA256.digest_size)

SigningFunction = Callable[[bytes], bytes]


class Signer:
    """Sign requests: the same three headers authenticate a REST call and a WebSocket's handshake."""

    def __init__(self, key_id: str, key: Secret) -> None:
        self._key_id = key_id
        self._sign = signing_function(key.reveal())

    def headers(self, method: str, path: str, timestamp_ms: int | None = None) -> dict[str, str]:
        """Return the headers for this path (from the root of the host, without its query).

        Call it last before sending: the exchange refuses signatures whose timestamp is old.
        """
        if timestamp_ms is None:
            timestamp_ms = time.time_ns() // 1_000_000
        signature = self._sign(f"{timestamp_ms}{method}{path}".encode())
        return {
            "KALSHI-ACCESS-KEY": self._key_id,
            "KALSHI-ACCESS-TIMESTAMP": str(timestamp_ms),
            "KALSHI-ACCESS-SIGNATURE": base64.b64encode(signature).decode(),
        }


def signing_function(pem: str) -> SigningFunction:
    """Return the signing function of the key's type. Raise ValueError if the text is no usable private key."""
    try:
        key = load_pem_private_key(pem.encode(), password=None)
    except TypeError:
        raise ValueError("a private key that is protected by a password") from None
    except (ValueError, UnsupportedAlgorithm):
        if "PUBLIC KEY-----" in pem:
            raise ValueError("a public key; the private key is needed") from None
        # The library's message is left out, since it may quote the key.
        raise ValueError("not a private key in PEM") from None
    if isinstance(key, Ed25519PrivateKey):
        return key.sign
    if isinstance(key, RSAPrivateKey):
        return lambda message: key.sign(message, RSA_PADDING, SHA256())
    raise ValueError("neither an RSA nor an Ed25519 key")
