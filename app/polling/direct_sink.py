from app.postgres.dsn import Dsn
from app.store.tables import Row, Table
from app.store.writer import CopyWriter


class DirectSink:
    """Has rows in the database when put returns: for a program that has nothing else to do meanwhile."""

    def __init__(self, dsn: Dsn) -> None:
        self._dsn = dsn
        self._writers: dict[str, CopyWriter] = {}
        self.inserted: dict[str, int] = {}

    def put(self, table: Table, rows: list[Row]) -> None:
        if table.name not in self._writers:
            self._writers[table.name] = CopyWriter(table, self._dsn)
        written = self._writers[table.name].write(rows)
        self.inserted[table.name] = self.inserted.get(table.name, 0) + written.inserted

    def close(self) -> None:
        for writer in self._writers.values():
            writer.close()
