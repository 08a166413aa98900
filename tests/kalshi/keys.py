"""Keys for a fake exchange, and its look at a signature."""

import base64
from functools import cache

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)


@cache
def rsa_key():
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@cache
def ed25519_key():
    return ed25519.Ed25519PrivateKey.generate()


@cache
def elliptic_key():
    return ec.generate_private_key(ec.SECP256R1())


def pem(key, form=PrivateFormat.PKCS8, password=None):
    lock = BestAvailableEncryption(password) if password else NoEncryption()
    return key.private_bytes(Encoding.PEM, form, lock).decode()


def verify(key, headers, method, path):
    """Raises InvalidSignature unless these headers sign this request by the published rule."""
    message = (headers["KALSHI-ACCESS-TIMESTAMP"] + method + path).encode()
    signature = base64.b64decode(headers["KALSHI-ACCESS-SIGNATURE"], validate=True)
    if isinstance(key, rsa.RSAPrivateKey):
        rule = padding.PSS(padding.MGF1(SHA256()), salt_length=32)
        key.public_key().verify(signature, message, rule, SHA256())
    else:
        key.public_key().verify(signature, message)
