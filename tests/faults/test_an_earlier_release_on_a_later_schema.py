"""What a rollback leaves: processes that do not know the last migrations of their databases."""

import pytest

from app.postgres.connection import connected
from app.postgres.databases import DatabaseKind
from app.storage.migrations import Migration, migrate, migrations_of
from tests.faults.gathering import exchange, let_pass
from tests.faults.platform import Platform
from tests.servers import new_database

# As much as a migration may do: everywhere a column that may be missing and one with a default, and a new table.
LATER = """
    CREATE TABLE later (number INTEGER PRIMARY KEY);
    DO $$
    DECLARE
        known REGCLASS;
    BEGIN
        FOR known IN
            SELECT oid FROM pg_class
            WHERE relkind IN ('r', 'p') AND NOT relispartition AND relnamespace = 'public'::REGNAMESPACE
        LOOP
            EXECUTE format('ALTER TABLE %s ADD COLUMN may_be_missing TEXT, ADD COLUMN has_default INTEGER NOT NULL DEFAULT 0', known);
        END LOOP;
    END
    $$;
"""


@pytest.fixture
def later_templates(server):
    made = {}
    for kind in DatabaseKind:
        made[kind] = new_database(server)
        with connected(made[kind]) as connection:
            migrate(connection, [*migrations_of(kind), Migration(9999, "9999_later", LATER)])
    return made


@pytest.fixture
def platform(server, later_templates, tmp_path):
    with exchange(tmp_path) as simulator:
        yield Platform(server, later_templates, simulator, tmp_path)


def test_it_records_and_merges_everything(platform):
    with platform.gatherers() as recorders, platform.deduplicator() as deduplicator:
        deduplicator.wait_until_ready()
        let_pass(platform.simulator, 2)
        platform.simulator.stop_the_clock()
        for recorder in recorders.values():
            recorder.stop()
        platform.wait_until_merged()
        deduplicator.stop()
    platform.assert_exact()
