"""What a host held that died without a word is free within half a minute, not after hours."""

import os
import shutil
import subprocess
import sys

import pytest

from app.merge.merger import Merger
from app.merge.ownership import Members
from app.merge.position import Shard
from app.postgres.connection import claimed, connected, value_of
from app.postgres.databases import DatabaseKind
from app.postgres.dsn import Dsn
from app.postgres.embedded.installation import USER
from tests.merge.recordings import rule_of
from tests.processes import wait_until
from tests.servers import temporary_server
from tests.storage.migrated import migrated_database

FREED_SECONDS = 30
WORK = "the work of a host that dies"
IS_FREE = "SELECT pg_try_advisory_lock(hashtextextended(%s, 0))"
QUICKLY = """
    SET tcp_keepalives_idle = 1; SET tcp_keepalives_interval = 1; SET tcp_keepalives_count = 2;
    SET tcp_user_timeout = 3000
"""
HOLDER = """
import sys, time
import app.postgres.connection as claiming
from app.postgres.connection import connect
from app.postgres.dsn import Dsn
dsn, work, claiming.FREED_IN_TIME = sys.argv[1:]
with claiming.claimed(connect(Dsn(dsn)), work) as is_ours:
    print(is_ours, flush=True)
    time.sleep(600)
"""
OURS, THEIRS = "10.213.77.1", "10.213.77.2"


@pytest.fixture(scope="module")
def over_tcp():
    """A server on a network address: the figures are a TCP connection's, and others have none."""
    with temporary_server(fsync="off", listen_addresses="127.0.77.1") as server:
        rules = server.data / "pg_hba.conf"  # as it comes it refuses them all
        rules.write_text(f"host all all samehost trust\n{rules.read_text()}")
        production = migrated_database(server, DatabaseKind.PRODUCTION)
        with connected(production) as connection:
            value_of(connection, "SELECT pg_reload_conf()")
        yield Dsn(f"host=127.0.77.1 user={USER} dbname={production.database}")


def seconds_until_freed(connection):
    names = ("keepalives_idle", "keepalives_interval", "keepalives_count", "user_timeout")
    found = [
        value_of(connection, f"SELECT setting::INTEGER FROM pg_settings WHERE name = 'tcp_{name}'") for name in names
    ]
    idle, interval, count, user_timeout_ms = found
    return max(idle + interval * count, user_timeout_ms / 1_000 or float("inf"))


def test_whoever_claims_work_lets_the_server_notice_its_death(over_tcp):
    with connected(over_tcp) as connection:
        assert seconds_until_freed(connection) > FREED_SECONDS
        with claimed(connection, "some work"):
            assert seconds_until_freed(connection) < FREED_SECONDS


def test_whoever_merges_or_is_counted_lets_the_server_notice_its_death(over_tcp):
    merger = Merger(rule_of("trades"), Shard(0, 1), {"a": over_tcp}, over_tcp)
    wait_until(merger.open, what="a claim")
    members = Members(over_tcp)
    members.count()
    for kept in (merger._kept, members._kept):
        with kept.opened() as connection:
            assert seconds_until_freed(connection) < FREED_SECONDS
        kept.close()


@pytest.fixture
def other_host():
    """Its name for `ip netns exec`, on a network with us."""
    if os.getuid() != 0 or shutil.which("ip") is None:
        pytest.skip("only root can make a network of its own, with ip of iproute2")
    name = f"kalshi-{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"networks cannot be made here: {made.stderr.strip()}")
    try:
        for command in (
            f"link add kalshi-ours type veth peer name theirs netns {name}",
            f"addr add {OURS}/30 dev kalshi-ours",
            "link set kalshi-ours up",
            f"-n {name} addr add {THEIRS}/30 dev theirs",
            f"-n {name} link set theirs up",
        ):
            subprocess.run(["ip", *command.split()], check=True)
        yield name
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True)


def test_the_work_of_a_host_that_is_cut_off_is_free_for_others(other_host):
    with temporary_server(fsync="off", listen_addresses=OURS) as server:
        with (server.data / "pg_hba.conf").open("a") as rules:
            rules.write(f"host all all {THEIRS}/32 trust\n")
        with connected(server.dsn("postgres")) as connection:
            connection.autocommit = True
            value_of(connection, "SELECT pg_reload_conf()")
            command = ["ip", "netns", "exec", other_host, sys.executable, "-c", HOLDER]
            arguments = [f"host={OURS} user={USER} dbname=postgres", WORK, QUICKLY]
            holder = subprocess.Popen([*command, *arguments], stdout=subprocess.PIPE, text=True)
            try:
                assert holder.stdout.readline() == "True\n"
                assert not value_of(connection, IS_FREE, (WORK,))
                subprocess.run(["ip", "-n", other_host, "link", "set", "theirs", "down"], check=True)
                wait_until(lambda: value_of(connection, IS_FREE, (WORK,)), what="the dead host's work")
                assert holder.poll() is None
            finally:
                holder.kill()
                holder.communicate()
