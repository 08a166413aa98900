"""What a table holds, in the words that rows are written in."""

from datetime import UTC, datetime

from app.storage.tables import ColumnType

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def rows_of(connection, table):
    columns = ", ".join(
        f"(extract(epoch FROM {column.name}) * 1000000)::BIGINT"
        if column.type is ColumnType.TIMESTAMP
        else f"{column.name}::TEXT"
        if column.type is ColumnType.JSON
        else column.name
        for column in table.columns
    )
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {columns} FROM {table.name} ORDER BY ingest_id")
        return cursor.fetchall()
