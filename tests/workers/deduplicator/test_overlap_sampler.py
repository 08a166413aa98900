import threading

from prometheus_client import REGISTRY

from app.postgres.databases import DatabaseKind
from app.postgres.dsn import Dsn
from app.runtime.threads import inline
from app.storage.tables import ORDERBOOK_DELTAS
from app.storage.writer import CopyWriter
from tests.gatherers import NOON, execute
from tests.servers import new_database
from tests.storage import rows
from workers.deduplicator.auditor import OverlapSampler

# Ten seconds after the second in which rows are.
KNOWN_UNTIL = """
    INSERT INTO gatherer_contacts (gatherer, system_identifier, contacted_at) VALUES ('a', 1, now());
    INSERT INTO gatherer_runs (gatherer, run_id, started_at, recorded_until, delivered_until)
    VALUES ('a', 1, %(noon)s, %(noon)s + INTERVAL '1 hour', %(noon)s + INTERVAL '10 seconds')
"""


def counted(name, **labels):
    return REGISTRY.get_sample_value(f"kalshi_merge_sampled_{name}_total", {"table": "orderbook_deltas", **labels}) or 0


def test_it_counts_what_is_known_to_have_arrived_and_nothing_while_a_gatherer_is_away(server, templates, production):
    gatherers = {name: new_database(server, templates[DatabaseKind.TIMESERIES]) for name in ("a", "b")}
    for name, clocks in (("a", (1, 2, 3)), ("b", (1,))):
        writer = CopyWriter(ORDERBOOK_DELTAS, gatherers[name])
        writer.write([rows.delta(clock=clock) for clock in clocks])
        writer.close()
    execute(production, KNOWN_UNTIL, {"noon": NOON})
    before = counted("rows"), counted("rows_alone", gatherer="a"), counted("rows_alone", gatherer="b")
    comparer = OverlapSampler(gatherers, production, inline, threading.Event())
    assert comparer.step()
    assert comparer.step()  # the same second is not counted again
    away = {**gatherers, "b": Dsn(gatherers["b"].reveal().replace("dbname=", "dbname=no_"))}
    assert not OverlapSampler(away, production, inline, threading.Event()).step()
    after = counted("rows"), counted("rows_alone", gatherer="a"), counted("rows_alone", gatherer="b")
    assert [now - then for now, then in zip(after, before, strict=True)] == [3, 2, 0]
