"""`kalshi-data rehearse` as an operator runs it, against the simulator."""

import json
import socket
import tarfile

import pytest

from app.rehearsal.assumptions import ASSUMPTIONS
from tests.processes import run
from tests.simulator.running import running_simulator

SOCKETS = 7
# What does not happen every few seconds.
RARE = {"repetitions_equal", "announcements_alike"}


@pytest.fixture(scope="module")
def simulator(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rehearsed")
    options = ("--markets", 200, "--rate", 300, "--tier", "unlimited", "--heartbeat", 1)
    with running_simulator(folder, *options, start=None) as running:
        yield running


def rehearsed(simulator, folder, *options, **settings):
    key = simulator.where["keys"][0]
    return run(
        *("-m", "app", "rehearse", "--markets", 6, "--bundle", folder / "bundle.tar.gz", "--json", *options),
        **{
            "KALSHI_REST_URL": simulator.where["rest"],
            "KALSHI_WS_URL": simulator.where["websocket"],
            "KALSHI_API_KEY_ID": key["key_id"],
            "KALSHI_API_PRIVATE_KEY_FILE": key["private_key_file"],
            "KALSHI_WS_CONNECTIONS": SOCKETS,
            "KALSHI_GATHERERS": 1,
            "NO_PROXY": "127.0.0.1",
            **settings,
        },
    )


def verdicts_of(done):
    return {each["assumption"]: each for each in json.loads(done.stdout)["verdicts"]}


def next_sockets(simulator):
    """The numbers of the two sockets of books: before them one is opened to see whether the key is taken."""
    with simulator.connect():
        latest = max(each["ordinal"] for each in simulator.state()["connections"])
    return latest + 2, latest + 3


def test_at_a_sound_exchange_every_assumption_holds_and_the_bundle_has_no_key(simulator, tmp_path):
    done = rehearsed(simulator, tmp_path, "--seconds", 9)
    verdicts = verdicts_of(done)
    assert list(verdicts) == [each.key for each in ASSUMPTIONS]
    assert {name: each["evidence"] for name, each in verdicts.items() if each["answer"] == "no"} == {}
    assert {name for name, each in verdicts.items() if each["answer"] != "yes"} <= RARE
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["account"]["sockets_opened_at_once"] == SOCKETS
    assert report["unknown_fields"] == {}
    assert [each["name"] for each in report["endpoints"] if each["error"]] == []
    with tarfile.open(tmp_path / "bundle.tar.gz") as bundle:
        everything = b"".join(bundle.extractfile(member).read() for member in bundle)
    assert b'"trade_id"' in everything.replace(b"\\", b"")
    assert simulator.where["keys"][0]["key_id"].encode() not in everything


def test_what_an_unsound_exchange_does_is_told_and_ends_with_1(simulator, tmp_path):
    first, second = next_sockets(simulator)
    changes = {"channels": ["orderbook_delta"], "types": ["orderbook_delta"]}
    inflicted = [
        simulator.inflict("lose", connections=[first], count=0, every=20, **changes),
        simulator.inflict("drop", connections=[second], skip=30, **changes),
        simulator.inflict("untimed", connections=[first], skip=50, **changes),
        simulator.inflict("rest_error", path="/trade-api/v2/series", status=400, count=0),
    ]
    done = rehearsed(simulator, tmp_path, "--seconds", 6, "--sockets", 0)
    for each in inflicted:
        simulator.lift(each["fault_id"])
    failed = {name for name, each in verdicts_of(done).items() if each["answer"] == "no"}
    assert done.returncode == 1, done.stderr
    assert {"rest_answers", "seq_counts", "deltas_merge", "books_rebuild", "times_present"} <= failed
    assert not failed & {"key_signs", "frames_fit", "trades_merge", "clock_rises", "rest_fits"}


def test_a_key_that_the_exchange_does_not_know_is_told(simulator, tmp_path):
    done = rehearsed(simulator, tmp_path, "--sockets", 1, KALSHI_API_KEY_ID="another")
    verdicts = verdicts_of(done)
    assert done.returncode == 1
    assert {verdicts[name]["answer"] for name in ("key_signs", "key_opens_sockets")} == {"no"}
    assert verdicts["deltas_merge"]["answer"] == "not judged"


def test_an_exchange_that_does_not_answer_is_told_without_asking_on(simulator, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    done = rehearsed(simulator, tmp_path, KALSHI_REST_URL=f"http://127.0.0.1:{port}/trade-api/v2")
    assert (done.returncode, done.stdout) == (1, "")
    assert "The exchange did not answer /exchange/status." in done.stderr
    assert "Fix: check KALSHI_REST_URL" in done.stderr
    assert "/account/limits" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_without_a_key_it_says_what_to_set_and_ends_with_2():
    done = run("-m", "app", "rehearse")
    assert (done.returncode, done.stdout) == (2, "")
    assert "KALSHI_API_KEY_ID and KALSHI_API_PRIVATE_KEY are not set." in done.stderr


def test_the_assumptions_can_be_listed_without_asking_anybody():
    done = run("-m", "app", "rehearse", "--list")
    assert done.returncode == 0
    assert all(f"`{each.key}`" in done.stdout for each in ASSUMPTIONS)
