"""The keys that may sign requests: public keys by id, and the exchange's check of a signature."""

import base64
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey, generate_private_key

from app.errors import OperatorError

PublicKey = RSAPublicKey | Ed25519PublicKey
PrivateKey = RSAPrivateKey | Ed25519PrivateKey


class AuthenticationError(Exception):
    """A request that is not validly signed, with the exchange's error code and message."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class DemoKey(NamedTuple):
    key_id: str
    private_key_file: Path


class KeyRing:
    """The public keys of all users. Every key belongs to one user, named like the key."""

    def __init__(self, keys: Mapping[str, PublicKey], tolerance_ms: int) -> None:
        self._keys = keys
        self._tolerance_ms = tolerance_ms

    def authenticate(self, headers: Mapping[str, str], method: str, path: str, wall_ms: int) -> str:
        """Return the id of the key that signed the request. Raise AuthenticationError if the signature is invalid.

        `headers` have names in lower case.
        """
        key_id = headers.get("kalshi-access-key", "")
        timestamp = headers.get("kalshi-access-timestamp", "")
        key = self._keys.get(key_id)
        if key is None:
            raise AuthenticationError("authentication_error", "NOT_FOUND")
        if not timestamp.isdecimal() or abs(int(timestamp) - wall_ms) > self._tolerance_ms:
            raise AuthenticationError("header_timestamp_expired", "the timestamp is too old or too new")
        message = f"{timestamp}{method}{path.partition('?')[0]}".encode()
        if not _is_signed(key, headers.get("kalshi-access-signature", ""), message):
            raise AuthenticationError("authentication_error", "INCORRECT_API_KEY_SIGNATURE")
        return key_id


def _is_signed(key: PublicKey, signature_text: str, message: bytes) -> bool:
    try:
        signature = base64.b64decode(signature_text, validate=True)
        if isinstance(key, Ed25519PublicKey):
            key.verify(signature, message)
        else:
            pss = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=hashes.SHA256.digest_size)
            key.verify(signature, message, pss, hashes.SHA256())
    except (ValueError, InvalidSignature):
        return False
    return True


def load_public_key(path: Path) -> PublicKey:
    try:
        key = serialization.load_pem_public_key(path.read_bytes())
    except (OSError, ValueError) as error:
        raise OperatorError(f"{path} holds no public key.", str(error), "give a PEM file, as key_id=FILE") from None
    if not isinstance(key, RSAPublicKey | Ed25519PublicKey):
        raise OperatorError(f"{path} holds a key of another kind.", fix="give an RSA or an Ed25519 key")
    return key


def make_demo_keys(folder: Path) -> tuple[list[DemoKey], dict[str, PublicKey]]:
    """Return the demo keys and their public keys by id. Keys are created once and kept over restarts.

    There are three, as many as a platform has gatherers, of both kinds, in files that only this user can read.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise OperatorError(
            f"The folder {folder} cannot be created.", str(error), "name a folder that this user may write."
        ) from error
    demo_keys, public_keys = [], {}
    for name, kind in (("rsa", "rsa"), ("ed25519", "ed25519"), ("ed25519-2", "ed25519")):
        key_id = str(uuid.uuid5(uuid.NAMESPACE_URL, f"kalshi-data-simulator-{name}"))
        file = folder / f"{name}.pem"
        private_key = _existing_key(file) or _written_key(kind, file)
        demo_keys.append(DemoKey(key_id, file))
        public_keys[key_id] = private_key.public_key()
    return demo_keys, public_keys


def _existing_key(file: Path) -> PrivateKey | None:
    if not file.exists():
        return None
    key = serialization.load_pem_private_key(file.read_bytes(), password=None)
    if not isinstance(key, RSAPrivateKey | Ed25519PrivateKey):
        raise OperatorError(f"{file} holds a key of another kind.", fix="remove it; a new one is made")
    return key


def _written_key(kind: str, file: Path) -> PrivateKey:
    key = Ed25519PrivateKey.generate() if kind == "ed25519" else generate_private_key(65_537, 2_048)
    file.touch(mode=0o600)
    file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return key
