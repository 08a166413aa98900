"""What settings allow that nobody can have meant: they can be used, and an operator is told of it."""

import os
import stat
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

from app.environment import FILE_SUFFIX, known_settings
from app.networks import is_local
from app.settings import Settings
from app.tokens import Token

EXPIRES_SOON = timedelta(days=14)
PLAIN_SCHEMES = {"ws", "http"}
EVERY_ADDRESS = "0.0.0.0"  # noqa: S104 - what is warned of


def warnings_of(settings: Settings, environment: Mapping[str, str] = os.environ) -> Iterator[str]:
    for setting in known_settings():
        if setting.is_secret and (path := environment.get(setting.variable + FILE_SUFFIX)):
            yield from _of_file(setting.variable + FILE_SUFFIX, Path(path))
    for variable, url in (("KALSHI_REST_URL", settings.rest_url), ("KALSHI_WS_URL", settings.ws_url)):
        if url is not None and _is_readable_on_its_way(url):
            yield f"{variable} is {url}: without TLS, others may read and change what comes from there."
    if settings.ops_address.startswith(f"{EVERY_ADDRESS}:"):
        yield (
            f"KALSHI_OPS_ADDRESS is {settings.ops_address}: whoever reaches this host may have it ask the exchange, "
            "without a token. Give it the address that Prometheus asks."
        )
    for token in settings.admin_tokens.known() if settings.admin_tokens else ():
        yield from _of_token(token, datetime.now(UTC))


def _of_file(variable: str, path: Path) -> Iterator[str]:
    try:
        mode = path.stat().st_mode
    except OSError:  # it was read a moment ago, and may be gone again
        return
    if stat.S_ISREG(mode) and mode & (stat.S_IWGRP | stat.S_IWOTH):
        yield f"{variable} names {path}, which others may write (mode {stat.S_IMODE(mode):04o}): chmod 600 {path}."
    elif stat.S_ISREG(mode) and mode & stat.S_IROTH:
        yield f"{variable} names {path}, which everybody may read (mode {stat.S_IMODE(mode):04o}): chmod 600 {path}."


def _is_readable_on_its_way(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme in PLAIN_SCHEMES and not is_local(parts.hostname or "")


def _of_token(token: Token, now: datetime) -> Iterator[str]:
    if token.expires is None:
        yield f"The admin token of {token.name} never expires: kalshi-data token makes one that does."
    elif token.has_expired(now):
        yield f"The admin token of {token.name} expired on {token.expires}: kalshi-data token makes another one."
    elif token.has_expired(now + EXPIRES_SOON):
        yield f"The admin token of {token.name} expires on {token.expires}: kalshi-data token makes another one."
