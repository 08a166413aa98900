"""What a lake says about itself: README.md, _schema.json and lake.sql in its root.

`lake.sql` makes views in dollars and contracts for DuckDB. A table that the lake does not have yet is an empty view, so
that the file always runs; the exporter writes it again when the table is there.
"""

import json
from collections.abc import Collection

import pyarrow as pa

from kalshi_data.coverage import BOOKS
from kalshi_data.layout import (
    CANDLES,
    COVERAGE,
    DELTAS,
    EVENTS,
    FOLDERS,
    HOURLY,
    IDENTITY,
    LIFECYCLE,
    MARKETS,
    REFERENCE_TABLES,
    SERIES,
    SNAPSHOTS,
    TICKERS,
    TRADES,
)
from kalshi_data.reference_changes import compared_fields
from kalshi_data.schema import SCHEMA_VERSION, schema_of

README_KEY, SCHEMA_KEY, SQL_KEY = "README.md", "_schema.json", "lake.sql"
# The view of each table.
VIEWS = {
    TRADES: "trades",
    TICKERS: "quotes",
    DELTAS: "book_changes",
    SNAPSHOTS: "book_snapshots",
    LIFECYCLE: "lifecycle_events",
    CANDLES: "candles",
    COVERAGE: "coverage",
    SERIES: "series",
    EVENTS: "events",
    MARKETS: "markets",
}
# One unit of each suffix in SQL. A product with it is an exact decimal.
UNITS = {"_e6": "0.000001::DECIMAL(7, 6)", "_e2": "0.01::DECIMAL(3, 2)", "_e8": "0.00000001::DECIMAL(9, 8)"}
SQL_TYPES = {
    pa.timestamp("us", "UTC"): "TIMESTAMPTZ",
    pa.int64(): "BIGINT",
    pa.int32(): "INTEGER",
    pa.bool_(): "BOOLEAN",
    pa.string(): "VARCHAR",
}
FOLDER_TYPES = {"date": "DATE", "hour": "BIGINT", "interval": "VARCHAR"}
HOLE_BUCKETS = 4096
# Whether a row lies in a hole; {time} is its time.
IN_HOLE = """\
coalesce(list_bool_or([
    {time} >= hole.since AND {time} < hole.until
    FOR hole IN (SELECT list(h) FROM holes AS h WHERE h.channel = '{channel}')
]), FALSE) AS in_hole"""
BOOK_IN_HOLE = """\
coalesce(list_bool_or([
    ticker = hole.ticker AND {time} >= hole.since AND {time} < hole.until
    FOR hole IN (SELECT holes FROM holes_of_books)[(hash(ticker) % {buckets})::BIGINT + 1]
]), FALSE) AS in_hole"""
CHANNELS = {TRADES: "trade", TICKERS: "ticker"}
HEAD = """\
-- Views of this lake for DuckDB, in dollars and contracts. In the lake's folder: duckdb -init lake.sql
-- A condition on "date" limits which files are read.
SET TimeZone = 'UTC';
"""
BUCKET_HEAD = """\
INSTALL httpfs;
LOAD httpfs;
CREATE SECRET IF NOT EXISTS lake (TYPE s3, PROVIDER credential_chain);
"""
HOLES_VIEW = """\
CREATE OR REPLACE VIEW holes AS
SELECT channel, ticker, unnest(holes_from) AS since, unnest(holes_until) AS until FROM coverage;
-- The holes of books by a hash of their market, in one row: a column that nobody asks for then costs nothing.
CREATE OR REPLACE VIEW holes_of_books AS
SELECT list(holes ORDER BY number) AS holes
FROM (
    SELECT number, coalesce(list(h) FILTER (h.ticker IS NOT NULL), []) AS holes
    FROM range({buckets}) AS buckets (number)
    LEFT JOIN (FROM holes WHERE channel = '{books}') AS h ON hash(h.ticker) % {buckets} = number
    GROUP BY number
);
"""
MARKETS_VIEW = """\
CREATE OR REPLACE VIEW markets AS
SELECT m.*, e.series_ticker FROM market_states AS m LEFT JOIN events AS e USING (event_ticker);
"""

# A day's state beside the state before it: each field that differs.
CHANGES_VIEW = """\
CREATE OR REPLACE VIEW {name} AS
SELECT {key}, field, before, after, seen_at, "date" FROM (
    SELECT
        {key}, "date", updated_at AS seen_at, lag(TRUE) OVER states AS has_before,
        unnest([
            {fields}
        ], recursive := TRUE)
    FROM ({states})
    WINDOW states AS (PARTITION BY {key} ORDER BY "date")
)
WHERE has_before AND before IS DISTINCT FROM after;
"""
CHANGED_FIELD = "{{'field': '{name}', 'before': lag({value}) OVER states, 'after': {value}}}"
CHANGES = {MARKETS: "market_changes", EVENTS: "event_changes", SERIES: "series_changes"}

README = """\
# A lake of exchange data

Prices, trades, order books and markets of a prediction exchange, hour by hour, as Parquet. Times are UTC. Prices and
sizes are exact integers: `_e6` is millionths of a dollar, `_e2` hundredths of a contract, `_e8` their product. Hours
and dates are those of the events, by the exchange's clock.

| folder | holds |
|---|---|
{folders}

- `coverage/` says which hours may be used. Every hour has a row for each channel of the whole exchange (an empty
  `ticker`: trades, quotes, lifecycle messages) and one for the order book of each market that was open. `state` is
  `complete`, `repaired`, `hole` (with the bounds of each hole) or `pending`; it holds until `known_until`. An hour
  without rows is not judged.
- `reference/` has the markets that were open or changed in each day, with their state at its end, their results and
  settlement. The last day in which a market appears has its last state. The day that goes on is written again every
  hour. The views `market_changes`, `event_changes` and `series_changes` list which field differs from one day to the
  next.
- `reports/date=YYYY-MM-DD/report.json` has the figures of a finished day: how complete it is, and by what it is proven.
- `_manifest/` has rows, size, sha256 and bounds of each object; an object without a manifest is unfinished.
- `_schema.json` describes every column. `_identity.json` says which lake this is.

Read it with DuckDB (in this folder: `duckdb -init lake.sql`, then `FROM trades LIMIT 10;`), with polars, pandas or
Spark, or with the library of the project that wrote it:

```python
import kalshi_data as kd

lake = kd.open("{location}")
trades = lake.trades("KX…", "2026-11-21", "2026-11-22")
print(trades.to_df(), trades.coverage)
```
"""
CONTENTS = {
    TRADES: "trades",
    TICKERS: "quotes: best bid and ask, as the exchange sent them",
    DELTAS: "every change of a price level",
    SNAPSHOTS: "whole order books; the changes since make the book of any moment",
    LIFECYCLE: "when markets opened, closed and settled",
    CANDLES: "candles of a minute, an hour and a day",
    COVERAGE: "how complete the record is",
    SERIES: "series",
    EVENTS: "events",
    MARKETS: "markets",
}


def readme(location: str) -> str:
    folders = "\n".join(f"| `{FOLDERS[table]}/` | {contents} |" for table, contents in CONTENTS.items())
    return README.format(folders=folders, location=location)


def schema_json() -> str:
    """Return the description of every table and column, for programs."""
    tables = {
        table: {
            "folder": FOLDERS[table],
            "view": VIEWS[table],
            "partitions": {name: FOLDER_TYPES[name] for name in _folders(table)},
            "columns": [
                {
                    "name": field.name,
                    "type": str(field.type),
                    "nullable": field.nullable,
                    **{key.decode(): value.decode() for key, value in field.metadata.items()},
                }
                for field in schema_of(table)
            ],
        }
        for table in FOLDERS
    }
    return json.dumps({"schema_version": SCHEMA_VERSION, "tables": tables}, indent=1) + "\n"


def lake_sql(present: Collection[str], root: str = "") -> str:
    """Return the views' SQL. `present` are the tables that the lake has, `root` is empty for paths relative to the
    lake's folder."""
    statements = [HEAD + (BUCKET_HEAD if root.startswith("s3://") else "")]
    for table, view in sorted(VIEWS.items(), key=lambda item: item[0] != COVERAGE):
        name = "market_states" if table == MARKETS else view
        statements.append(f"CREATE OR REPLACE VIEW {name} AS\n{_select(table, present, root)};\n")
        if table == COVERAGE:
            statements.append(HOLES_VIEW.format(buckets=HOLE_BUCKETS, books=BOOKS))
    changes = [_changes(table, present, root) for table in CHANGES]
    return "\n".join([*statements, MARKETS_VIEW, *changes])


def _changes(table: str, present: Collection[str], root: str) -> str:
    fields = [CHANGED_FIELD.format(name=_name(field), value=_text(field)) for field in compared_fields(table)]
    states = _days(table, present, root)
    return CHANGES_VIEW.format(
        name=CHANGES[table], key=IDENTITY[table][0], fields=",\n            ".join(fields), states=states
    )


def _text(field: pa.Field) -> str:
    """Return the SQL of a value as text, as kalshi_data/reference_changes.py writes it."""
    if pa.types.is_timestamp(field.type):
        return f"strftime({field.name}, '%Y-%m-%dT%H:%M:%S.%fZ')"
    return f"{_name(field)}::VARCHAR"


def _select(table: str, present: Collection[str], root: str) -> str:
    select = _days(table, present, root)
    if table in REFERENCE_TABLES and table in present:
        key = IDENTITY[table][0]
        select += f'\nQUALIFY row_number() OVER (PARTITION BY {key} ORDER BY updated_at DESC, "date" DESC) = 1'
    return select


def _days(table: str, present: Collection[str], root: str) -> str:
    """Return the query for all rows of a table, of reference data those of every day."""
    fields = schema_of(table)
    if table not in present:
        columns = [f"NULL::{_sql_type(field)} AS {_name(field)}" for field in fields]
        columns += [f'NULL::{FOLDER_TYPES[name]} AS "{name}"' for name in _folders(table)]
        columns += ["NULL::BOOLEAN AS in_hole"] * len(_in_hole(table))
        return f"SELECT {', '.join(columns)} WHERE FALSE"
    columns = [_value(field) for field in fields] + [f'"{name}"' for name in _folders(table)] + _in_hole(table)
    pattern = "/".join([*([root] if root else []), FOLDERS[table], *("*" for _ in _folders(table)), "part-*.parquet"])
    types = ", ".join(f"'{name}': {FOLDER_TYPES[name]}" for name in _folders(table))
    source = f"read_parquet('{pattern}', hive_partitioning = TRUE, hive_types = {{{types}}})"
    return f"SELECT {', '.join(columns)} FROM {source}"  # noqa: S608 - our own names


def _value(field: pa.Field) -> str:
    unit = UNITS.get(field.name[-3:])
    if unit is None:
        return str(field.name)
    if pa.types.is_list(field.type):
        return f"[each * {unit} FOR each IN {field.name}] AS {_name(field)}"
    return f"{field.name} * {unit} AS {_name(field)}"


def _name(field: pa.Field) -> str:
    return str(field.name[:-3] if field.name[-3:] in UNITS else field.name)


def _sql_type(field: pa.Field) -> str:
    """Return the type of the view's column."""
    kind = field.type.value_type if pa.types.is_list(field.type) else field.type
    name = f"DECIMAL(25, {field.name[-1]})" if field.name[-3:] in UNITS else SQL_TYPES[kind]
    return f"{name}[]" if pa.types.is_list(field.type) else name


def _folders(table: str) -> tuple[str, ...]:
    if table == CANDLES:
        return ("interval", "date")
    return ("date", "hour") if table in HOURLY else ("date",)


def _in_hole(table: str) -> list[str]:
    if table in {DELTAS, SNAPSHOTS}:
        return [BOOK_IN_HOLE.format(time=IDENTITY[table][1], buckets=HOLE_BUCKETS)]
    return [IN_HOLE.format(time="exchange_ts", channel=CHANNELS[table])] if table in CHANNELS else []
