"""The rows of a small lake in a production database."""

from psycopg2 import sql
from psycopg2.extras import Json

from app.postgres.connection import connected

EVENT_TABLES = ("trades", "orderbook_snapshots", "orderbook_deltas")
HOUR = """
    INSERT INTO coverage_hours (hour, known_until) VALUES (%(hour)s, %(hour)s + INTERVAL '1 hour');
    INSERT INTO coverage_changes (hour) VALUES (%(hour)s);
"""
HOLE = """
    INSERT INTO coverage (hour, channel, ticker, state, holes, repaired, repaired_by)
    VALUES (%s, 'orderbook_delta', %s, 'hole', tstzmultirange(tstzrange(%s, %s)), '{}', '{}')
"""


def load(dsn, rows, hours, holes):
    """Rows by table; the hours that are known completely; and holes of books by hour and market."""
    with connected(dsn) as connection, connection, connection.cursor() as cursor:
        for table in EVENT_TABLES:
            cursor.execute("SELECT ensure_chunks(%s, %s, %s)", (table, min(hours), max(hours)))
        for table, found in rows.items():
            for row in found:
                insert(cursor, table, row)
        for hour in hours:
            cursor.execute(HOUR, {"hour": hour})
        for (hour, ticker), hole in holes.items():
            cursor.execute(HOLE, (hour, ticker, *hole))


def insert(cursor, table, row):
    values = {name: Json({}) if name == "details" else value for name, value in row.items()}
    statement = sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
        sql.Identifier(table),
        sql.SQL(", ").join(map(sql.Identifier, values)),
        sql.SQL(", ").join(map(sql.Placeholder, values)),
    )
    cursor.execute(statement, values)
