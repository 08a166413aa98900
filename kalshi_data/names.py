"""The names of a lake: which markets an event or a series has, and what a mistyped name may mean."""

import difflib
from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc

from kalshi_data.errors import UnknownNameError
from kalshi_data.files import LakeFiles
from kalshi_data.layout import DELTAS, EVENTS, IDENTITY, MARKETS, SERIES, SNAPSHOTS, TICKERS, TRADES
from kalshi_data.times import ALWAYS, Interval

FIRST_CHARACTERS = 2  # a mistyped name is usually wrong near its end
MOST_NEAR = 3


def tickers_of(files: LakeFiles, name: str, period: Interval = ALWAYS) -> list[str]:
    """Return the markets that the name means: a market, or all markets of an event or a series. Raise UnknownNameError
    if it means none."""
    if not files.has(MARKETS):
        return _recorded(files, name)
    for when in dict.fromkeys((period, ALWAYS)):
        if found := _listed(files, name, when) or _traded(files, name, when):
            return found
    raise UnknownNameError(name, _near(name, _all_names(files)))


def latest(files: LakeFiles, table: str, condition: pc.Expression | None = None) -> pa.Table:
    """Return the last known state of each series, event or market that meets the condition."""
    rows = files.rows(table, ALWAYS, wanted=condition)
    key = IDENTITY[table][0]
    rows = rows.sort_by([("updated_at", "descending"), ("date", "descending")]).drop_columns(["date"])
    numbered = rows.append_column("number", pa.array(range(rows.num_rows), pa.int64()))
    first = numbered.group_by(key, use_threads=False).aggregate([("number", "min")])["number_min"]
    return rows.take(first).sort_by(key)


def _listed(files: LakeFiles, name: str, period: Interval) -> list[str]:
    """Return the markets of the name as the lake's reference data has them."""
    for condition in (pc.field("ticker") == name, pc.field("event_ticker") == name):
        if found := _distinct(files, MARKETS, "ticker", condition, period):
            return found
    events = _distinct(files, EVENTS, "event_ticker", pc.field("series_ticker") == name, period)
    return _distinct(files, MARKETS, "ticker", pc.field("event_ticker").isin(events), period) if events else []


def _traded(files: LakeFiles, name: str, period: Interval) -> list[str]:
    """Return the market if it has rows, although the reference data lacks it."""
    is_it = pc.field("ticker") == name
    found = any(_distinct(files, table, "ticker", is_it, period) for table in (TRADES, SNAPSHOTS, TICKERS, DELTAS))
    return [name] if found else []


def _recorded(files: LakeFiles, name: str) -> list[str]:
    """Return the markets of the name in a lake without reference data, by the form of their tickers."""
    known = {ticker for table in (TRADES, TICKERS, SNAPSHOTS) for ticker in _distinct(files, table, "ticker")}
    if found := [name] if name in known else sorted(each for each in known if each.startswith(f"{name}-")):
        return found
    raise UnknownNameError(name, _near(name, known))


def _distinct(
    files: LakeFiles, table: str, column: str, condition: pc.Expression | None = None, period: Interval = ALWAYS
) -> list[str]:
    return sorted(pc.unique(files.rows(table, period, [column], condition)[column]).to_pylist())


def _all_names(files: LakeFiles) -> set[str]:
    keys = ((MARKETS, "ticker"), (EVENTS, "event_ticker"), (SERIES, "ticker"))
    return {name for table, column in keys for name in _distinct(files, table, column)}


def _near(name: str, known: Iterable[str]) -> list[str]:
    asked = name.upper()
    likely = sorted(each for each in known if each.upper().startswith(asked[:FIRST_CHARACTERS]))
    return difflib.get_close_matches(asked, likely, n=MOST_NEAR)
