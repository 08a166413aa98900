"""Count the events of one second that only one gatherer has, by a query to all their databases.

The merge cannot count them: it sees that a row is known, but not which gatherer delivered it, and recording that for
every row would cost as much as the merge.
"""

from collections import Counter
from collections.abc import Mapping, Set
from typing import NamedTuple

from psycopg2 import sql

from app.merge.rules import DELTAS, TICKERS, TRADES
from app.postgres.connection import Connection, connected
from app.postgres.dsn import Dsn

# The columns that identify an event at all gatherers. A trade's time is not one: REST may give a finer time than the
# older stream.
IDENTITIES = {DELTAS.table: DELTAS.key, TRADES.table: TRADES.table.timeless_identity, TICKERS.table: TICKERS.key}
TIMED = {DELTAS.table: "NOT ts_missing", TRADES.table: "TRUE", TICKERS.table: "NOT ts_missing"}
EVENTS = sql.SQL("""
    SELECT ROW({identity})::TEXT FROM {table}
    WHERE exchange_ts >= TIMESTAMPTZ 'epoch' + %(second)s * INTERVAL '1 second'
        AND exchange_ts < TIMESTAMPTZ 'epoch' + (%(second)s + 1) * INTERVAL '1 second' AND {timed}
""")


class ExclusiveEvents(NamedTuple):
    events: int
    by_gatherer: dict[str, int]


def events_alone(heard: Mapping[str, Set[str]]) -> ExclusiveEvents:
    """Count all events, and for each gatherer the ones that no other has."""
    times = Counter(event for events in heard.values() for event in events)
    return ExclusiveEvents(
        len(times), {name: sum(times[event] == 1 for event in events) for name, events in heard.items()}
    )


def compare_second(gatherers: Mapping[str, Dsn], second: int) -> dict[str, ExclusiveEvents]:
    """Return the counts of the second, by table. All gatherers must answer: without one, what it shares with one other
    would be counted as exclusive."""
    heard: dict[str, dict[str, Set[str]]] = {table.name: {} for table in IDENTITIES}
    for gatherer, dsn in gatherers.items():
        with connected(dsn, "comparer") as connection:
            for table_name, events in _events(connection, second).items():
                heard[table_name][gatherer] = events
    return {table_name: events_alone(of_all) for table_name, of_all in heard.items()}


def _events(connection: Connection, second: int) -> dict[str, Set[str]]:
    found: dict[str, Set[str]] = {}
    with connection, connection.cursor() as cursor:
        for table, identity in IDENTITIES.items():
            columns = sql.SQL(", ").join(map(sql.Identifier, identity))
            names = {"identity": columns, "table": sql.Identifier(table.name), "timed": sql.SQL(TIMED[table])}
            cursor.execute(EVENTS.format(**names), {"second": second})
            found[table.name] = {event for (event,) in cursor}
    return found
