import msgspec
import psycopg2.extensions

from app.store.tables import Row, Table

STATEMENT = "INSERT INTO quarantine (table_name, reason, payload) VALUES (%s, %s, %s)"


def quarantine_row(cursor: psycopg2.extensions.cursor, table: Table, row: Row, error: Exception) -> None:
    """Keeps a row that its table refuses, with its columns' names and the reason, in the transaction of its batch."""
    payload = msgspec.json.encode(dict(zip(table.column_names, row, strict=False)), enc_hook=repr)
    cursor.execute(STATEMENT, (table.name, str(error).strip(), payload))
