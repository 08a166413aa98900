"""How values look on pages."""

import re
from collections.abc import Callable
from datetime import UTC, datetime

from markupsafe import Markup, escape

UNITS = ("B", "kB", "MB", "GB", "TB")
CENT_E6 = 10_000
NOTHING = "\u2013"


def age(value: datetime | str | None) -> str:
    """How long ago, or in how long."""
    if value is None:
        return NOTHING
    seconds = (datetime.now(UTC) - _moment(value)).total_seconds()
    return f"{duration(seconds)} ago" if seconds >= 0 else f"in {duration(-seconds)}"


def duration(seconds: float | None) -> str:
    if seconds is None:
        return NOTHING
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{int(seconds // size)} {unit}"
    return f"{seconds:.1f} s" if seconds < 10 else f"{int(seconds)} s"


def clock(value: datetime | str | None) -> str:
    return NOTHING if value is None else f"{_moment(value):%H:%M:%S}"


def day_and_time(value: datetime | str | None) -> str:
    return NOTHING if value is None else f"{_moment(value):%d %b %H:%M:%S}"


def size(count: int | None) -> str:
    if count is None:
        return NOTHING
    amount, unit = float(count), 0
    while amount >= 1_000 and unit < len(UNITS) - 1:
        amount, unit = amount / 1_000, unit + 1
    return f"{amount:.0f} {UNITS[unit]}" if unit == 0 or amount >= 100 else f"{amount:.1f} {UNITS[unit]}"


def number(value: int | None) -> str:
    return NOTHING if value is None else f"{int(value):,}".replace(",", "\u202f")


def cents(price_e6: int) -> str:
    """With as many decimals as it needs, exactly."""
    whole, rest = divmod(price_e6, CENT_E6)
    return f"{whole}.{rest:04}".rstrip("0") + "¢" if rest else f"{whole}¢"


def coded(text: str) -> Markup:
    """What stands between backticks is code."""
    return Markup(re.sub("`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped before


def _moment(value: datetime | str) -> datetime:
    return value if isinstance(value, datetime) else datetime.fromisoformat(value)


FILTERS: dict[str, Callable[..., str]] = {
    function.__name__: function for function in (age, duration, clock, day_and_time, size, number, cents, coded)
}
