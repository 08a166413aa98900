from collections.abc import Iterable

from psycopg2 import sql

from app.store.arrivals import TABLE_LOCK
from app.store.tables import UPDATED_AT, Table


class Statements:
    """What is said to the database in order to write into one table."""

    def __init__(self, table: Table) -> None:
        names = {
            "table": sql.Identifier(table.name),
            "literal": sql.Literal(table.name),
            "staging": sql.Identifier(f"staging_{table.name}"),
            "columns": _list("{}", table.column_names),
        }

        def statement(text: str) -> sql.Composed:
            return sql.SQL(text).format(**names)

        self.create_staging = statement(
            "CREATE TEMPORARY TABLE {staging} ON COMMIT DELETE ROWS AS SELECT {columns} FROM {table} WITH NO DATA"
        )
        # Without it a transaction that began earlier could commit later, behind the back of a reader by ingest_id.
        self.lock_table = statement(f"SELECT pg_advisory_xact_lock({TABLE_LOCK % '{literal}'})")
        # Of a bisected batch, an earlier part may still be staged.
        self.begin_attempt = statement("DELETE FROM {staging}; SAVEPOINT attempt")
        self.copy_to_table = statement("COPY {table} ({columns}) FROM STDIN (FORMAT binary)")
        self.copy_to_staging = statement("COPY {staging} ({columns}) FROM STDIN (FORMAT binary)")
        insert = statement("INSERT INTO {table} AS known ({columns}) SELECT {columns} FROM {staging} ")
        self.insert = insert + (_replace_what_changed(table) if table.key else sql.SQL("ON CONFLICT DO NOTHING"))
        self.ensure_chunk = statement("SELECT ensure_chunk({literal}, 'epoch'::TIMESTAMPTZ + %s * INTERVAL '1 hour')")


def _replace_what_changed(table: Table) -> sql.Composed:
    others = [name for name in table.column_names if name not in table.key]
    telling = [name for name in others if name != UPDATED_AT]
    replace = sql.SQL(
        "ON CONFLICT ({key}) DO UPDATE SET {replaced}, ingest_id = DEFAULT WHERE ({known}) IS DISTINCT FROM ({given})"
    ).format(
        key=_list("{}", table.key),
        replaced=_list("{0} = EXCLUDED.{0}", others),
        known=_list("known.{}", telling),
        given=_list("EXCLUDED.{}", telling),
    )
    is_not_older = sql.SQL(" AND EXCLUDED.{0} >= known.{0}").format(sql.Identifier(UPDATED_AT))
    return replace + is_not_older if UPDATED_AT in others else replace


def _list(form: str, names: Iterable[str]) -> sql.Composed:
    return sql.SQL(", ").join(sql.SQL(form).format(sql.Identifier(name)) for name in names)
