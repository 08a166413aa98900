"""Every setting, once: its name (KALSHI_ and the field's name), type, default and description."""

from typing import Annotated

from msgspec import Meta

from app.logs import LogFormat, LogLevel
from app.settings.lake import LakeSettings


# A chain of structs, each a group of settings: a struct has one base.
class Settings(LakeSettings, frozen=True, kw_only=True):
    log_format: Annotated[
        LogFormat,
        Meta(
            description="`json`: one object a line; `text`: for reading; `auto`: text on a terminal, else json.",
            examples=["json"],
        ),
    ] = "auto"
    log_level: Annotated[LogLevel, Meta(description="The least severe level that is logged.", examples=["info"])] = (
        "info"
    )
