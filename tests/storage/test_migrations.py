import itertools
import subprocess
import threading

import pytest
from psycopg2.extensions import make_dsn

from app.errors import MigrationError
from app.postgres.connection import connected, value_of
from app.postgres.databases import DatabaseKind
from app.postgres.dsn import Dsn
from app.postgres.embedded.installation import find_binaries
from app.storage.migrations import Migration, applied_migrations, migrate, migrations_of, pending
from app.storage.tables import GATHERER_TABLES, PRODUCTION_TABLES
from tests.servers import new_database

ONE = Migration(1, "0001_one", "CREATE TABLE one (number INTEGER)")
TWO = Migration(2, "0002_two", "CREATE TABLE two (number INTEGER)")
BROKEN = Migration(2, "0002_broken", "CREATE TABLE half (number INTEGER); SELECT 1 / 0")
KINDS = list(DatabaseKind)
VERSIONS = [(kind, count) for kind in KINDS for count in range(len(migrations_of(kind)))]


@pytest.fixture
def connection(empty_database):
    with connected(empty_database) as opened:
        yield opened


def tables_of(connection):
    return value_of(
        connection,
        "SELECT array_agg(relname::TEXT ORDER BY relname) FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::REGNAMESPACE",
    )


def schema_of(dsn):
    """What pg_dump says of it, without the lines that differ by chance."""
    dump = find_binaries(None).folder / "pg_dump"
    text = subprocess.run([dump, "--schema-only", dsn.reveal()], capture_output=True, text=True, check=True).stdout
    return [line for line in text.splitlines() if not line.startswith((r"\restrict", r"\unrestrict"))]


@pytest.fixture(scope="module")
def newest(server, templates):
    """The schemas of new databases by kind, which nothing changes: pg_dump is asked once for each. Of copies, since the
    templates let nobody in."""
    return {kind: schema_of(new_database(server, template)) for kind, template in templates.items()}


def test_migrations_are_applied_in_order_and_recorded(connection):
    assert migrate(connection, [ONE, TWO]) == [ONE, TWO]
    assert tables_of(connection) == ["one", "schema_migrations", "two"]
    assert applied_migrations(connection) == {1: ("0001_one", ONE.sha256), 2: ("0002_two", TWO.sha256)}


def test_a_second_run_applies_nothing(connection):
    migrate(connection, [ONE])
    assert migrate(connection, [ONE]) == []


def test_only_what_is_new_is_applied(connection):
    migrate(connection, [ONE])
    assert migrate(connection, [ONE, TWO]) == [TWO]


def test_a_changed_old_file_is_refused(connection):
    migrate(connection, [ONE])
    with pytest.raises(MigrationError, match="was changed after it had been applied"):
        migrate(connection, [ONE._replace(text=ONE.text + " "), TWO])
    assert tables_of(connection) == ["one", "schema_migrations"]


def test_a_database_of_a_later_version_is_left_as_it_is_and_told(connection, caplog):
    migrate(connection, [ONE, TWO])
    assert migrate(connection, [ONE]) == []
    assert tables_of(connection) == ["one", "schema_migrations", "two"]
    assert "0002_two" in caplog.text


@pytest.mark.parametrize(("kind", "other"), list(itertools.permutations(KINDS, 2)), ids=lambda kind: kind.name)
def test_a_database_of_another_kind_is_refused(kind, other):
    applied = {migration.number: (migration.name, migration.sha256) for migration in migrations_of(other)}
    applied[9999] = ("9999_later", "of a version to come")
    with pytest.raises(MigrationError):
        pending(applied, migrations_of(kind))


def test_a_migration_that_comes_late_is_refused():
    with pytest.raises(MigrationError, match="has a lower number"):
        pending({2: ("0002_two", TWO.sha256)}, [ONE, TWO])


def test_a_migration_that_fails_leaves_nothing_and_those_before_it_stay(connection):
    with pytest.raises(MigrationError, match="0002_broken failed") as caught:
        migrate(connection, [ONE, BROKEN])
    assert "division by zero" in caught.value.detail
    assert tables_of(connection) == ["one", "schema_migrations"]
    assert migrate(connection, [ONE, TWO]) == [TWO]


def test_two_at_once_apply_each_migration_once(empty_database):
    slow = Migration(1, "0001_slow", "SELECT pg_sleep(0.2); CREATE TABLE one (number INTEGER)")
    outcomes = []

    def run():
        with connected(empty_database) as own:
            outcomes.append(migrate(own, [slow, TWO]))

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes, key=len) == [[], [], [], [slow, TWO]]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_the_owner_of_a_database_needs_no_other_right(server, empty_database, kind):
    role = f"owner_{kind.name.lower()}"
    with connected(empty_database) as opened, opened.cursor() as cursor:
        cursor.execute(f"CREATE ROLE {role} LOGIN; ALTER DATABASE {empty_database.database} OWNER TO {role}")
        cursor.execute(f"ALTER SCHEMA public OWNER TO {role}")
        opened.commit()
    with connected(Dsn(make_dsn(empty_database.reveal(), user=role))) as owner:
        assert migrate(owner, migrations_of(kind)) == migrations_of(kind)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_numbers_are_unique_across_the_folders_of_a_database(kind):
    numbers = [migration.number for migration in migrations_of(kind)]
    assert len(numbers) == len(set(numbers)) > 0


@pytest.mark.parametrize(("kind", "count"), VERSIONS, ids=lambda value: getattr(value, "name", value))
def test_every_earlier_version_arrives_at_the_schema_of_a_new_database(server, newest, kind, count):
    database = new_database(server)
    with connected(database) as opened:
        migrate(opened, migrations_of(kind)[:count])
        migrate(opened, migrations_of(kind))
    assert schema_of(database) == newest[kind]


@pytest.mark.parametrize(
    ("kind", "tables"),
    [(DatabaseKind.TIMESERIES, GATHERER_TABLES), (DatabaseKind.PRODUCTION, PRODUCTION_TABLES)],
    ids=["gatherer", "production"],
)
def test_rows_are_written_to_the_columns_that_the_tables_have(server, templates, kind, tables):
    types = {
        "int8": "BIGINT",
        "int4": "INTEGER",
        "int2": "SMALLINT",
        "bool": "BOOLEAN",
        "text": "TEXT",
        "jsonb": "JSON",
        "timestamptz": "TIMESTAMP",
        "_int8": "BIGINT_ARRAY",
        "_int4": "INTEGER_ARRAY",
    }
    with connected(new_database(server, templates[kind])) as opened, opened.cursor() as cursor:
        for table in tables:
            cursor.execute(
                "SELECT column_name, udt_name, is_nullable = 'YES' FROM information_schema.columns "
                "WHERE table_schema = 'public' AND table_name = %s AND column_name NOT IN ('ingest_id', 'copies') "
                "ORDER BY ordinal_position",
                (table.name,),
            )
            found = [(name, types[udt], nullable) for name, udt, nullable in cursor.fetchall()]
            assert found == [(column.name, column.type.name, column.nullable) for column in table.columns]
