"""Hold secrets, and the tokens that give access to the admin service."""

import hashlib
import hmac
import re
import secrets
from datetime import UTC, date, datetime
from enum import IntEnum
from typing import NamedTuple


class Secret:
    """A value that is shown only on request: never in a log, a repr or a traceback."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)


# Tokens for the admin service, stored as digests only.

TOKEN_BYTES = 32
LIFETIME_DAYS = 90
LONGEST_LIFETIME_DAYS = 366
ENTRY = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]{0,63}) (read|operate) ([0-9a-f]{64})(?: ([0-9]{4}-[0-9]{2}-[0-9]{2}))?")


class TokenRole(IntEnum):
    """The rights of a token's holder. Each role includes the ones before it."""

    NOBODY = 0
    READ = 1
    OPERATE = 2


class Token(NamedTuple):
    """A token. `expires` is the first day, in UTC, on which it is no longer accepted; None: never."""

    name: str
    role: TokenRole
    digest: bytes
    expires: date | None = None

    @property
    def entry(self) -> str:
        parts = [self.name, self.role.name.lower(), self.digest.hex()]
        return " ".join(parts if self.expires is None else [*parts, self.expires.isoformat()])

    def has_expired(self, now: datetime) -> bool:
        return self.expires is not None and now.astimezone(UTC).date() >= self.expires


class Tokens(Secret):
    """Tokens, one per line or separated by semicolons: name, role, digest, optional expiry day; # begins a comment."""

    __slots__ = ("_tokens",)

    def __init__(self, value: str) -> None:
        lines = [line.strip() for line in re.split(r"[;\n]", value)]
        entries = [line for line in lines if line and not line.startswith("#")]
        self._tokens = [_token(number, entry) for number, entry in enumerate(entries, start=1)]
        if not self._tokens:
            raise ValueError("contains no token")
        if len({token.name for token in self._tokens}) < len(self._tokens):
            raise ValueError("two tokens have the same name")
        super().__init__(value)

    def holders(self) -> list[str]:
        """Return the holders' names with their roles, without anything secret."""
        return [f"{token.name} ({token.role.name.lower()})" for token in self._tokens]

    def holder(self, presented: str) -> Token | None:
        """Return the token that was presented, or None. It may have expired.

        Takes constant time, whichever token it is and however much of it is right.
        """
        digest = _digest(presented)
        found = [token for token in self._tokens if hmac.compare_digest(token.digest, digest)]
        return found[0] if found else None

    def known(self) -> list[Token]:
        """Return all tokens."""
        return list(self._tokens)


def new_token(name: str, role: TokenRole, expires: date | None = None) -> tuple[str, Token]:
    """Return the new token's secret, for its holder, and the token to store."""
    presented = secrets.token_urlsafe(TOKEN_BYTES)
    return presented, Token(name, role, _digest(presented), expires)


def _token(number: int, entry: str) -> Token:
    if (match := ENTRY.fullmatch(entry)) is None:
        raise ValueError(f"entry {number} does not consist of a name, read or operate, a digest and a date")
    name, role, digest, expires = match.groups()
    try:
        day = date.fromisoformat(expires) if expires else None
    except ValueError as error:
        raise ValueError(f"entry {number} has an invalid expiry date") from error
    return Token(name, TokenRole[role.upper()], bytes.fromhex(digest), day)


def _digest(presented: str) -> bytes:
    # Tokens are 256 random bits and cannot be guessed, so no slow hash is needed.
    return hashlib.sha256(presented.encode()).digest()
