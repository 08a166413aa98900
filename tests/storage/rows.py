"""Rows of the record tables, with everything filled in but what a test is about."""

from app.storage.tables import PRODUCTION_TABLES

NOON_US = 1_793_534_400_000_000  # 2026-11-01 12:00 UTC


def lineage(table, conn=1, sid=2, seq=3):
    base = next(production for production in PRODUCTION_TABLES if production.name == table.name)
    return (conn, sid, seq)[: len(table.columns) - len(base.columns)]


def delta(
    at_us=NOON_US, ticker="KXTEST-1", clock=1, delta_e2=100, price_e6=500_000, nth=0, yes_side=True, lineage=(1, 2, 3)
):
    return (at_us, at_us + 20_000, clock, delta_e2, price_e6, nth, yes_side, False, False, ticker, *lineage)


def snapshot(
    at_us=NOON_US, ticker="KXTEST-1", clock=0, yes=(), no=(), source="ws", is_confirmation=False, lineage=(1, 2, 3)
):
    levels = [
        [price for price, _ in yes],
        [size for _, size in yes],
        [price for price, _ in no],
        [size for _, size in no],
    ]
    return (at_us, at_us, clock, 0, ticker, source, *([None] * 4 if is_confirmation else levels), *lineage)
