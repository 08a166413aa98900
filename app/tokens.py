"""Who may ask the admin service for what: tokens, of which only digests are kept."""

import hashlib
import hmac
import re
import secrets
from enum import IntEnum
from typing import NamedTuple

from app.secret import Secret

TOKEN_BYTES = 32
ENTRY = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]{0,63}) (read|operate) ([0-9a-f]{64})")


class Role(IntEnum):
    """Each may do what the ones before it may."""

    NOBODY = 0
    READ = 1
    OPERATE = 2


class Token(NamedTuple):
    name: str
    role: Role
    digest: bytes

    @property
    def entry(self) -> str:
        return f"{self.name} {self.role.name.lower()} {self.digest.hex()}"


class Tokens(Secret):
    """One a line, or with semicolons between: its name, its role and its digest. Lines with # are remarks."""

    __slots__ = ("_tokens",)

    def __init__(self, value: str) -> None:
        lines = [line.strip() for line in re.split(r"[;\n]", value)]
        entries = [line for line in lines if line and not line.startswith("#")]
        self._tokens = [_token(number, entry) for number, entry in enumerate(entries, start=1)]
        if not self._tokens:
            raise ValueError("holds no token")
        if len({token.name for token in self._tokens}) < len(self._tokens):
            raise ValueError("one name stands for two tokens")
        super().__init__(value)

    def holders(self) -> list[str]:
        """Their names with their roles, without what they present."""
        return [f"{token.name} ({token.role.name.lower()})" for token in self._tokens]

    def holder(self, presented: str) -> Token | None:
        """Takes as long whichever it is, and however much of it is right."""
        digest = _digest(presented)
        found = [token for token in self._tokens if hmac.compare_digest(token.digest, digest)]
        return found[0] if found else None


def new_token(name: str, role: Role) -> tuple[str, Token]:
    """What its holder presents, and what is kept."""
    presented = secrets.token_urlsafe(TOKEN_BYTES)
    return presented, Token(name, role, _digest(presented))


def _token(number: int, entry: str) -> Token:
    if (match := ENTRY.fullmatch(entry)) is None:
        raise ValueError(f"entry {number} is not made of a name, read or operate, and a digest")
    name, role, digest = match.groups()
    return Token(name, Role[role.upper()], bytes.fromhex(digest))


def _digest(presented: str) -> bytes:
    # Tokens are 256 random bits: there is nothing to guess, so nothing slow is needed.
    return hashlib.sha256(presented.encode()).digest()
