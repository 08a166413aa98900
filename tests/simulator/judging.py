"""A recorded production database that a test damages, and the check that judges it.

Statements are made of names from the tests themselves.
"""

import msgspec

from app.simulator.check.check import SimCheck
from app.simulator.check.databases import ProductionRows
from app.simulator.truth import TruthReader
from tests.simulator.recording import COLUMNS

FINDINGS = ("lost", "duplicated", "unexpected", "altered", "unfillable")


class Recorded:
    """Everything happens in one transaction that ends with the test, so tests can share a database."""

    def __init__(self, truth, connection):
        self.truth = truth
        self.connection = connection

    def check(self, since_us=0):
        return SimCheck(TruthReader(self.truth), ProductionRows(self.connection, since_us)).run()

    def judge(self, since_us=0):
        report = self.check(since_us)
        return {"ok": report.is_clean, **msgspec.to_builtins(report)}

    def found(self, since_us=0):
        return found(self.judge(since_us))

    def change_one(self, table, change, where="TRUE"):
        """Of the rows, the one in the middle; `change` is a statement about {table} and {row}."""
        with self.connection.cursor() as cursor:
            cursor.execute(f"SELECT count(*) FROM {table} WHERE {where}")
            middle = cursor.fetchone()[0] // 2
            cursor.execute(
                f"SELECT ctid, tableoid FROM {table} WHERE {where} ORDER BY ingest_id OFFSET {middle} LIMIT 1"
            )
            ctid, tableoid = cursor.fetchone()
            cursor.execute(change.format(table=table, row=f"ctid = '{ctid}' AND tableoid = {tableoid}"))
            assert cursor.rowcount == 1

    def delete_one(self, table, where="TRUE"):
        self.change_one(table, "DELETE FROM {table} WHERE {row}", where)

    def update_one(self, table, change, where="TRUE"):
        self.change_one(table, f"UPDATE {{table}} SET {change} WHERE {{row}}", where)

    def copy_one(self, table, where="TRUE", **different):
        names = COLUMNS[table].split()
        values = ", ".join(different.get(name, name) for name in names)
        columns = ", ".join(names)
        self.change_one(table, f"INSERT INTO {table} ({columns}) SELECT {values} FROM {{table}} WHERE {{row}}", where)


def found(report):
    """What was found, by table and finding, with its number."""
    everything = {(table["table"], what): table[what] for table in report["tables"] for what in FINDINGS}
    everything["books", "altered"] = report["books"]["altered"]
    return {finding: count for finding, count in everything.items() if count}
