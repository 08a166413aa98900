"""`kalshi-data doctor`: each piece sound and unsound, and what the host can run."""

import re
from pathlib import Path

import pytest

from app.lake.binding import bind, bind_by_location, identity_of, register
from app.lake.storage import FolderStorage
from app.postgres.connection import connected
from app.postgres.databases import DatabaseKind
from app.runtime.secrets import TokenRole, new_token
from tests.cli_settings import invoke
from tests.harness.database import template
from tests.servers import new_database
from tests.simulator.running import running_simulator
from tests.timescaledb import compressing_database

NOBODY = "http://127.0.0.1:9/trade-api/v2"


@pytest.fixture(scope="module")
def simulator(tmp_path_factory):
    folder = tmp_path_factory.mktemp("diagnosed")
    with running_simulator(folder, "--markets", 100, "--rate", 50, "--tier", "unlimited", start=None) as running:
        yield running


@pytest.fixture(scope="module")
def databases(server, templates):
    """Of a gatherer and of production; no check changes them."""
    return {kind: new_database(server, templates[kind]).reveal() for kind in DatabaseKind}


@pytest.fixture
def diagnosed(tmp_path, monkeypatch):
    """Of settings: exit code and findings by subject, of this process, so that no import is paid for twice."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    def diagnose(**settings):
        given = {"KALSHI_DATA_DIR": str(tmp_path), "KALSHI_OPS_ADDRESS": "127.0.0.1:0", **settings}
        done = invoke({name: str(value) for name, value in given.items()}, "doctor")
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exc_info
        return Diagnosis(done.exit_code, done.stdout)

    return diagnose


class Diagnosis:
    def __init__(self, exit_code, text):
        self.exit_code = exit_code
        self.text = text
        lines = re.findall(r"^(ok  |FAIL|--  ) (.+?): (.*)$", text, re.MULTILINE)
        self.findings = {subject: f"{state.strip()} {finding}" for state, subject, finding in lines}
        self.runs = text.splitlines()[-1].removeprefix("this host can run: ")

    def __getitem__(self, subject):
        return self.findings[subject]


def of_gatherer(databases, simulator):
    key = simulator.where["keys"][0]
    return {
        "KALSHI_TS_DSN": databases[DatabaseKind.TIMESERIES],
        "KALSHI_META_DSN": databases[DatabaseKind.METADATA],
        "KALSHI_REST_URL": simulator.where["rest"],
        "KALSHI_WS_URL": simulator.where["websocket"],
        "KALSHI_API_KEY_ID": key["key_id"],
        "KALSHI_API_PRIVATE_KEY_FILE": key["private_key_file"],
        "KALSHI_SPOOL_MAX_BYTES": 1_000_000,
        "KALSHI_LOCAL_MAX_BYTES": 1_000_000,
    }


def test_a_sound_gatherer_s_host_can_run_a_gatherer_and_no_deduplicator(diagnosed, databases, simulator):
    done = diagnosed(**of_gatherer(databases, simulator))
    unsound = {subject for subject, finding in done.findings.items() if finding.startswith("FAIL")}
    # The tests' own server runs without fsync, for speed.
    assert (unsound, done.exit_code) == ({"kalshi_ts settings", "kalshi_meta settings"}, 1), done.text
    assert done["key"].startswith("ok it may read; tier unlimited")
    assert re.fullmatch(r"ok the exchange's clock is -?\d+ to -?\d+ ms ahead of this host's", done["exchange clock"])
    assert done["sockets"].startswith("ok 66 here and 198 of all gatherers")
    assert done["kalshi_ts settings"] == "FAIL fsync is off instead of on"
    assert done["kalshi_ts rights"].endswith("may read every table")
    assert done.runs.startswith(
        "gatherer yes; maintainer yes; deduplicator no (KALSHI_PRODUCTION_DSN, KALSHI_GATHERER_DSNS)"
    )


def test_nothing_is_changed(diagnosed, databases, simulator, tmp_path):
    diagnosed(**of_gatherer(databases, simulator), KALSHI_LAKE=tmp_path / "lake")
    assert list(tmp_path.iterdir()) == []


def test_an_exchange_that_is_not_there_is_told(diagnosed, databases, simulator):
    gatherer = {**of_gatherer(databases, simulator), "KALSHI_REST_URL": NOBODY, "KALSHI_WS_URL": "ws://127.0.0.1:9/ws"}
    done = diagnosed(**gatherer)
    assert done.exit_code == 1
    assert "check KALSHI_REST_URL" in done.text
    assert done["socket"].startswith("FAIL ws://127.0.0.1:9/ws: connecting to 127.0.0.1:9 failed")
    assert done.runs.startswith("gatherer no (exchange, socket); maintainer yes")


def test_a_key_that_the_exchange_does_not_know_is_told(diagnosed, databases, simulator):
    done = diagnosed(**{**of_gatherer(databases, simulator), "KALSHI_API_KEY_ID": "another"})
    assert done.exit_code == 1
    assert "401" in done["socket"]
    assert done.runs.startswith("gatherer no (")


def test_half_a_key_is_told(diagnosed):
    done = diagnosed(KALSHI_API_KEY_ID="alone")
    assert done["key"].startswith("FAIL The API key is incomplete.")


def test_without_anything_the_exchange_is_not_asked(diagnosed):
    done = diagnosed()
    assert done["exchange"].startswith("-- not checked")
    assert "gatherer no (KALSHI_TS_DSN, KALSHI_META_DSN, key)" in done.runs
    assert "admin no (KALSHI_PRODUCTION_DSN)" in done.runs


def test_more_sockets_than_are_granted_are_told(diagnosed, databases, simulator):
    done = diagnosed(**of_gatherer(databases, simulator), KALSHI_WS_CONNECTIONS=150)
    assert done["sockets"].startswith("FAIL All gatherers together ask for more connections")


def test_a_key_file_that_others_may_read_is_told_with_the_command(diagnosed, databases, simulator, tmp_path_factory):
    gatherer = of_gatherer(databases, simulator)
    file = tmp_path_factory.mktemp("key") / "key.pem"
    file.write_text(Path(gatherer["KALSHI_API_PRIVATE_KEY_FILE"]).read_text())
    file.chmod(0o644)
    done = diagnosed(**{**gatherer, "KALSHI_API_PRIVATE_KEY_FILE": file})
    assert done["KALSHI_API_PRIVATE_KEY_FILE"] == (
        f"FAIL {file} has mode 0644: every user of this host may read or change it; chmod 600 {file}"
    )


def test_a_disk_that_is_smaller_than_the_budgets_is_told(diagnosed, databases):
    done = diagnosed(KALSHI_TS_DSN=databases[DatabaseKind.TIMESERIES], KALSHI_SPOOL_MAX_BYTES=10**18)
    assert done["disk"].startswith("FAIL ")
    assert done["disk"].endswith("make room, or lower KALSHI_SPOOL_MAX_BYTES")


def test_a_database_s_disk_that_is_smaller_than_its_budget_is_told(diagnosed, databases):
    done = diagnosed(KALSHI_TS_DSN=databases[DatabaseKind.TIMESERIES], KALSHI_LOCAL_MAX_BYTES=10**18)
    assert done["kalshi_ts disk"].startswith("FAIL 0 of 1000000000 GB that its budget allows")
    assert "make room, or lower the budget" in done["kalshi_ts disk"]


def test_a_port_that_something_else_has_is_told(diagnosed, simulator):
    address = simulator.where["control"].removeprefix("http://")
    done = diagnosed(KALSHI_OPS_ADDRESS=address)
    assert done["ops port"].startswith(f"FAIL {address} cannot be opened")
    assert "maintainer no (ops port" in done.runs


def test_a_port_that_a_worker_of_ours_answers_on_is_no_fault(diagnosed, ops):
    done = diagnosed(KALSHI_OPS_ADDRESS=ops.url.removeprefix("http://").strip("/"))
    assert done["ops port"].startswith("ok a worker answers at")


def test_tokens_are_told_by_name_and_never_shown(diagnosed):
    presented, token = new_token("ada", TokenRole.READ)
    done = diagnosed(KALSHI_ADMIN_TOKENS=token.entry)
    assert done["tokens"] == "ok ada (read)"
    assert presented not in done.text
    assert token.digest.hex() not in done.text


class TestLake:
    def test_a_folder_that_is_not_there_is_asked_about(self, diagnosed, tmp_path):
        done = diagnosed(KALSHI_LAKE=tmp_path / "typo")
        assert done["lake"].endswith("it does not exist yet and would be created: check the path")

    def test_one_that_cannot_be_written_is_told(self, diagnosed, tmp_path):
        (tmp_path / "file").touch()
        done = diagnosed(KALSHI_LAKE=tmp_path / "file" / "lake")
        assert (done.exit_code, done["lake"][:4]) == (1, "FAIL")
        assert "exporter no (" in done.runs

    def test_another_than_production_is_bound_to_is_told(self, diagnosed, production, tmp_path):
        ours, other = (FolderStorage(tmp_path / name) for name in ("ours", "other"))
        with connected(production) as connection:
            for storage in (ours, other):
                storage.folder.mkdir()
                register(connection, storage, identity_of(storage).lake_id)
            bind(connection, identity_of(ours).lake_id)
        settings = {"KALSHI_PRODUCTION_DSN": production.reveal()}
        assert diagnosed(**settings, KALSHI_LAKE=ours.folder)["lake of production"].startswith("ok ")
        wrong = diagnosed(**settings, KALSHI_LAKE=other.folder)
        assert wrong["lake of production"].startswith(f"FAIL production is bound to {ours.folder}")

    def test_an_archiver_s_is_tried_where_a_gatherer_may_write(self, diagnosed, timeseries, tmp_path):
        lake, settings = tmp_path / "lake", {"KALSHI_TS_DSN": timeseries.reveal(), "KALSHI_GATHERER": "gatherer-1a"}
        assert "archiver no (lake" in diagnosed(**settings).runs
        sound = diagnosed(**settings, KALSHI_LAKE=lake)
        where = f"{lake}/raw/orderbook_deltas/gatherer=gatherer-1a"
        assert sound["lake's raw/"].startswith(f"ok {where} can be written")
        assert "archiver yes" in sound.runs
        lake.mkdir()
        (lake / "raw").touch()
        assert "archiver no (lake's raw/)" in diagnosed(**settings, KALSHI_LAKE=lake).runs

    def test_another_than_the_gatherer_is_bound_to_is_told(self, diagnosed, timeseries, tmp_path):
        ours, other = (FolderStorage(tmp_path / name) for name in ("ours", "other"))
        settings = {"KALSHI_TS_DSN": timeseries.reveal()}
        with connected(timeseries) as connection:
            bind_by_location(connection, ours.location)
            asked = diagnosed(**settings, KALSHI_LAKE=tmp_path)["lake of the gatherer"]
            assert asked == f"-- {ours.location}, which was never reached"
            for storage in (ours, other):
                storage.folder.mkdir()
                register(connection, storage, identity_of(storage).lake_id)
            bind(connection, identity_of(ours).lake_id)
        assert diagnosed(**settings, KALSHI_LAKE=ours.folder)["lake of the gatherer"].startswith("ok ")
        wrong = diagnosed(**settings, KALSHI_LAKE=other.folder)
        assert wrong["lake of the gatherer"].startswith(f"FAIL its database is bound to {ours.folder}")
        assert "archiver no (lake of the gatherer)" in wrong.runs


class TestDatabases:
    def test_a_role_without_rights_is_told_what_it_lacks(self, diagnosed, production):
        with connected(production) as connection, connection, connection.cursor() as cursor:
            cursor.execute("DROP ROLE IF EXISTS doctor_reader")
            cursor.execute("CREATE ROLE doctor_reader LOGIN")
            cursor.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO doctor_reader")
            cursor.execute("REVOKE SELECT ON trades FROM doctor_reader")
        reading = re.sub(r"user=\S+", "user=doctor_reader", production.reveal())
        try:
            done = diagnosed(KALSHI_PRODUCTION_DSN=reading)
        finally:
            with connected(production) as connection, connection, connection.cursor() as cursor:
                cursor.execute("DROP OWNED BY doctor_reader")
                cursor.execute("DROP ROLE doctor_reader")
        assert done["kalshi_production rights"] == "FAIL doctor_reader may not read trades"
        assert "does not own" in done["kalshi_production ownership"]
        assert "admin no (kalshi_production rights)" in done.runs

    def test_a_server_that_forgets_what_it_committed_is_told(self, diagnosed, production):
        with connected(production) as connection, connection, connection.cursor() as cursor:
            cursor.execute(f'ALTER DATABASE "{production.database}" SET synchronous_commit = off')
        done = diagnosed(KALSHI_PRODUCTION_DSN=production.reveal())
        assert done["kalshi_production settings"].endswith("; synchronous_commit is off")

    def test_one_that_is_not_there_is_told_with_its_setting(self, diagnosed, tmp_path):
        done = diagnosed(KALSHI_META_DSN=f"host={tmp_path} dbname=none")
        assert done["kalshi_meta"].startswith("FAIL The database none cannot be reached.")
        assert "KALSHI_META_DSN" in done["kalshi_meta"] + done.text

    def test_gatherers_databases_are_looked_at_one_by_one(self, diagnosed, databases, production, tmp_path):
        here, away = databases[DatabaseKind.TIMESERIES], f"host={tmp_path} dbname=none"
        done = diagnosed(
            KALSHI_PRODUCTION_DSN=production.reveal(),
            KALSHI_GATHERER_DSNS=f"a={here};b={away}",
            KALSHI_GATHERER_META_DSNS=f"a={databases[DatabaseKind.METADATA]};z={away}",
            KALSHI_REST_URL=NOBODY,
        )
        assert done["kalshi_ts of a confirmations"] == "ok may be written"
        assert done["kalshi_ts of b"].startswith("FAIL The database none cannot be reached.")
        assert "z is not in KALSHI_GATHERER_DSNS" in done.text
        assert "deduplicator no (KALSHI_GATHERER_META_DSNS, exchange)" in done.runs

    def test_two_names_for_one_database_are_told(self, diagnosed, databases):
        here = databases[DatabaseKind.TIMESERIES]
        done = diagnosed(KALSHI_GATHERER_DSNS=f"a={here};b={here}", KALSHI_REST_URL=NOBODY)
        assert done["kalshi_ts of b database"] == "FAIL is the same as that of a: one of the two names is wrong"


def test_a_server_that_would_make_hypertables_says_so_before_it_has(diagnosed, timescaledb):
    found = diagnosed(KALSHI_TS_DSN=new_database(timescaledb).reveal())["kalshi_ts"]
    assert re.fullmatch(r"ok PostgreSQL \S+, TimescaleDB \S+: hypertables", found)
    migrated = new_database(timescaledb, template(timescaledb, DatabaseKind.TIMESERIES))
    made = diagnosed(KALSHI_TS_DSN=migrated.reveal())["kalshi_ts"]
    assert re.fullmatch(r"ok PostgreSQL \S+, TimescaleDB \S+, \w+ edition: hypertables", made)


def test_a_compression_policy_that_somebody_added_is_told(diagnosed, timescaledb):
    database = compressing_database(timescaledb, DatabaseKind.TIMESERIES)
    subject = "kalshi_ts compression policies"
    assert diagnosed(KALSHI_TS_DSN=database.reveal())[subject] == "ok none but the maintainer's own"
    with connected(database) as connection, connection.cursor() as cursor:
        cursor.execute("CALL add_columnstore_policy('trades', after => INTERVAL '1 day')")
        connection.commit()
    assert diagnosed(KALSHI_TS_DSN=database.reveal())[subject].startswith("FAIL trades: remove_columnstore_policy")


def test_a_server_without_the_extension_keeps_partitions(diagnosed, empty_database):
    assert diagnosed(KALSHI_TS_DSN=empty_database.reveal())["kalshi_ts"].endswith(", no TimescaleDB loaded: partitions")
