import msgspec
import psycopg2.extensions

from app.store.tables import Row, Table

STATEMENT = "INSERT INTO quarantine (table_name, reason, payload) VALUES (%s, %s, %s)"


def quarantine_row(cursor: psycopg2.extensions.cursor, table: Table, row: Row, reason: str) -> None:
    """Keeps a row that its table refuses, with its columns' names and the reason, in the transaction of its batch."""
    cursor.execute(STATEMENT, (table.name, reason, _payload(table, row)))


def _payload(table: Table, row: Row) -> bytes:
    try:
        return msgspec.json.encode(dict(zip(table.column_names, row, strict=True)), enc_hook=repr)
    except ValueError:
        # Text that is not Unicode, or a row of another length: whatever it is, it must not be in the way of its batch.
        return repr(row).encode(errors="backslashreplace")
