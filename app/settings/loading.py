"""The environment's strings to Settings, and the data for the table of settings in README.md.

Unknown names and unfit values are refused, all in one error. Secrets may come from files (`_FILE`), and appear in no
message.
"""

import difflib
import os
import re
import stat
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args, get_origin, get_type_hints
from urllib.parse import urlsplit

import msgspec

from app.errors import SettingsError
from app.runtime.networks import is_local
from app.runtime.secrets import Secret, Token
from app.settings import Settings

PREFIX = "KALSHI_"
FILE_SUFFIX = "_FILE"
PATH_STARTS = ("/", "~", "./", "../")
USER_OF_URL = re.compile("//[^/?#]*@")


class Setting(NamedTuple):
    """One setting, as defined by its field of Settings."""

    field: str
    variable: str
    type: Any
    default: Any
    is_secret: bool
    description: str
    example: str


def known_settings() -> Iterator[Setting]:
    hints = get_type_hints(Settings, include_extras=True)
    for field in msgspec.structs.fields(Settings):
        annotated = hints[field.name]
        meta: msgspec.Meta = annotated.__metadata__[-1]  # the earlier ones belong to the type itself
        yield Setting(
            field=field.name,
            variable=PREFIX + field.name.upper(),
            type=annotated,
            default=None if field.default is msgspec.NODEFAULT else field.default,
            is_secret=any(
                issubclass(kind, Secret) for kind in get_args(annotated.__origin__) if isinstance(kind, type)
            ),
            description=meta.description or "",
            example=str((meta.examples or [""])[0]),
        )


def load_settings(environment: Mapping[str, str] = os.environ) -> Settings:
    """Return this process's settings. Raise SettingsError with every unknown name and unfit value."""
    values: dict[str, Any] = {}
    problems: list[str] = []
    for variable in sorted(name for name in environment if name.upper().startswith(PREFIX)):
        try:
            setting, text = _find(variable, environment)
            _refuse_second(setting, values)
            values[setting.field] = _convert(setting, text, variable)
        except (ValueError, OSError) as error:
            problems.append(f"{variable} {error}".removesuffix(".") + ("" if str(error).endswith("?") else "."))
    if problems:
        raise SettingsError(
            "The settings cannot be used.",
            "\n".join(problems),
            "correct or unset them; docs/settings.md lists every setting.",
        )
    return Settings(**values)


def _refuse_second(setting: Setting, values: Mapping[str, Any]) -> None:
    if setting.field in values:
        raise ValueError(f"is given twice: keep {setting.variable} or {setting.variable}{FILE_SUFFIX}, not both")


def _find(variable: str, environment: Mapping[str, str]) -> tuple[Setting, str]:
    """Return the setting that a variable names and its text, which a secret may have in a file."""
    settings = {setting.variable: setting for setting in known_settings()}
    if variable in settings:
        return settings[variable], environment[variable]
    holder = settings.get(variable.removesuffix(FILE_SUFFIX))
    if holder is None:
        near = difflib.get_close_matches(variable.upper(), settings, n=1)
        raise ValueError("is not a setting" + (f"; did you mean {near[0]}?" if near else ""))
    if not holder.is_secret:
        raise ValueError(f"is not a setting: {holder.variable} is not a secret, give its value directly")
    return holder, _read_secret(Path(environment[variable]))


def _read_secret(path: Path) -> str:
    try:
        return path.read_text().rstrip("\r\n")
    except OSError as error:
        raise ValueError(f"names a file that cannot be read: {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError(f"names a file that is not text: {path}") from None


def _convert(setting: Setting, text: str, variable: str) -> Any:  # noqa: ANN401 - a setting's type is data here
    if not text:
        raise ValueError(f"is empty: unset it{_such_as(setting)}")
    try:
        return msgspec.convert(text, setting.type, strict=False, dec_hook=_decode)
    except msgspec.ValidationError as error:
        raise ValueError(_problem(setting, text, variable, str(error))) from None


def _problem(setting: Setting, text: str, variable: str, error: str) -> str:
    if setting.is_secret:
        # A secret's value appears in no message, not even if it is malformed.
        if variable == setting.variable and text.startswith(PATH_STARTS) and "\n" not in text:
            return f"is a path and not the secret itself; did you mean {variable}{FILE_SUFFIX}?"
        where = "is a secret" if variable == setting.variable else "names a file that does not hold what it should"
        return f"{where}: {error}{_such_as(setting)}"
    if choices := _choices(setting.type):
        return f"is {text!r}: it is one of {', '.join(choices)}"
    # A regular expression is not shown: operators need not read it.
    error = "it does not have the form that it needs" if "matching regex" in error else error
    return f"is {USER_OF_URL.sub('//***@', text)!r}: {error}{_such_as(setting)}"


def _such_as(setting: Setting) -> str:
    """Return an example of a fitting value; nothing for one of several lines, which would look like a leaked key."""
    return "" if "\n" in setting.example else f"; a value such as {setting.example} fits"


def _choices(kind: object) -> tuple[str, ...]:
    """Return the choices of a Literal, whatever it is annotated with; empty if the type has none."""
    if get_origin(kind) is Literal:
        return get_args(kind)
    return next(filter(None, map(_choices, get_args(kind))), ())


def _decode(kind: type, text: object) -> object:
    return kind(text)


# Settings that can be used but are hardly meant: the operator gets a warning.

EXPIRES_SOON = timedelta(days=14)
PLAIN_SCHEMES = {"ws", "http"}
EVERY_ADDRESS = "0.0.0.0"  # noqa: S104 - what is warned of


def warnings_of(settings: Settings, environment: Mapping[str, str] = os.environ) -> Iterator[str]:
    for setting in known_settings():
        if setting.is_secret and (path := environment.get(setting.variable + FILE_SUFFIX)):
            yield from _of_file(setting.variable + FILE_SUFFIX, Path(path))
    for variable, url in (("KALSHI_REST_URL", settings.rest_url), ("KALSHI_WS_URL", settings.ws_url)):
        if url is not None and _is_readable_on_its_way(url):
            yield f"{variable} is {url}: without TLS, others may read and change the data."
    if settings.ops_address.startswith(f"{EVERY_ADDRESS}:"):
        yield (
            f"KALSHI_OPS_ADDRESS is {settings.ops_address}: anyone who reaches this host may trigger "
            "requests to the exchange, without a token. Set it to the address that Prometheus scrapes."
        )
    for token in settings.admin_tokens.known() if settings.admin_tokens else ():
        yield from _of_token(token, datetime.now(UTC))


def _of_file(variable: str, path: Path) -> Iterator[str]:
    try:
        mode = path.stat().st_mode
    except OSError:  # it was read a moment ago, and may be gone again
        return
    if stat.S_ISREG(mode) and mode & (stat.S_IWGRP | stat.S_IWOTH):
        yield f"{variable} names {path}, which other users may write (mode {stat.S_IMODE(mode):04o}): chmod 600 {path}."
    elif stat.S_ISREG(mode) and mode & stat.S_IROTH:
        yield f"{variable} names {path}, which every user may read (mode {stat.S_IMODE(mode):04o}): chmod 600 {path}."


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
