"""Commands that work on databases, on the embedded server and on servers of the user's."""

import os
import signal
from pathlib import Path

import pytest

from app.postgres.connection import connected, value_of
from app.postgres.dsn import Dsn
from tests.processes import run, running
from tests.servers import new_database, temporary_folder


@pytest.fixture
def folder():
    with temporary_folder() as made:
        yield made


@pytest.fixture
def user_databases(server):
    settings = ("KALSHI_TS_DSN", "KALSHI_META_DSN", "KALSHI_PRODUCTION_DSN")
    return {setting: new_database(server).reveal() for setting in settings}


def test_migrate_works_on_the_users_databases_and_starts_no_server(user_databases, folder):
    first = run("-m", "app", "migrate", KALSHI_DATA_DIR=folder, **user_databases)
    assert "kalshi_production: applied 0001_chunks" in first.stdout
    again = run("-m", "app", "migrate", KALSHI_DATA_DIR=folder, **user_databases)
    assert again.stdout.count("applied nothing") == 3
    assert list(folder.iterdir()) == []


def test_with_one_database_given_no_other_is_asked_for(user_databases, folder):
    done = run("-m", "app", "migrate", KALSHI_DATA_DIR=folder, KALSHI_META_DSN=user_databases["KALSHI_META_DSN"])
    assert (
        done.stdout
        == "kalshi_meta: applied 0004_metadata, 0008_metadata_order, 0036_told_markets, 0037_confirmed_metadata\n"
    )
    assert list(folder.iterdir()) == []


def test_commands_before_migrate_say_that_it_is_missing(user_databases):
    done = run("-m", "app", "maintain", **user_databases)
    assert done.returncode == 1
    assert "Fix: run kalshi-data migrate." in done.stderr


def test_a_dry_run_lists_and_changes_nothing(user_databases):
    done = run("-m", "app", "migrate", "--dry-run", **user_databases)
    assert "kalshi_meta: to apply 0004_metadata" in done.stdout
    with connected(Dsn(user_databases["KALSHI_META_DSN"])) as connection:
        assert value_of(connection, "SELECT to_regclass('markets')") is None


def test_maintain_makes_room_and_tells_so(user_databases):
    run("-m", "app", "migrate", **user_databases)
    lines = run("-m", "app", "maintain", **user_databases).stdout.splitlines()
    assert [line.split(":")[0] for line in lines] == ["kalshi_ts", "kalshi_meta", "kalshi_production"]
    assert not any("created 0," in line for line in lines)
    again = run("-m", "app", "maintain", **user_databases).stdout.splitlines()
    assert all("created 0," in line for line in again if "kalshi_meta" not in line)
    assert "kalshi_meta: markets dropped 0, events dropped 0" in again


def test_doctor_finds_what_is_missing_and_what_is_not(user_databases):
    user_databases["KALSHI_REST_URL"] = "http://127.0.0.1:9/x"
    before = run("-m", "app", "doctor", **user_databases)
    assert before.returncode == 1
    assert "FAIL kalshi_ts schema" in before.stdout
    run("-m", "app", "migrate", **user_databases)
    after = run("-m", "app", "doctor", **user_databases)
    assert "ok   kalshi_ts schema" in after.stdout


def test_without_databases_of_the_user_an_embedded_server_serves_and_ends(folder):
    done = run("-m", "app", "migrate", KALSHI_DATA_DIR=folder)
    assert "kalshi_ts: applied 0001_chunks" in done.stdout
    assert "applied nothing" in run("-m", "app", "migrate", KALSHI_DATA_DIR=folder).stdout
    assert not (folder / "postgres/data/postmaster.pid").exists()


def test_the_embedded_server_runs_until_it_is_told_to_stop(folder):
    with running("-m", "app", "postgres", KALSHI_DATA_DIR=folder) as process:
        line = process.wait_for("psql")
        assert Path(line.split(" '")[0]).exists()
        with connected(Dsn(line.split("'")[1])) as connection:
            assert value_of(connection, "SELECT 1") == 1
        process.signal(signal.SIGTERM)
        assert process.exit_code() == 0
    assert not (folder / "postgres/data/postmaster.pid").exists()


def test_when_the_embedded_server_dies_its_command_ends_with_1(folder):
    with running("-m", "app", "postgres", KALSHI_DATA_DIR=folder) as process:
        process.wait_for("kalshi_production")
        os.kill(int((folder / "postgres/data/postmaster.pid").read_text().split()[0]), signal.SIGKILL)
        assert process.exit_code() == 1
        process.wait_for("ended by itself")
