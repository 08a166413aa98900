"""Sockets that end in every way: they are opened anew, others notice nothing, and what was not heard is in the journal."""

import pytest

from app.postgres.connection import connected
from tests.processes import wait_until
from tests.simulator.judging import Recorded, found
from tests.simulator.running import running_simulator
from tests.workers.listening import CAUSE, ENDED, SID, listening, ordinals

BOOKS = "orderbook_delta"


@pytest.fixture
def simulator(tmp_path):
    options = ["--markets", "150", "--rate", "300", "--tier", "unlimited", "--heartbeat", "0.5"]
    with running_simulator(tmp_path, *options) as running:
        yield running


def caused(recorder, role):
    return [gap[CAUSE] for gap in recorder.gaps_of(role)]


def book_markets(simulator):
    """That the exchange sends to anybody."""
    connections = simulator.state()["connections"]
    subscriptions = [each for connection in connections for each in connection["subscriptions"]]
    return sum(each["markets"] for each in subscriptions if each["channel"] == BOOKS)


def test_each_end_is_a_gap_that_closes_and_harms_no_other_connection(simulator, timeseries):
    with listening(simulator, connections=8, KALSHI_STALE_SECONDS=2) as recorder:
        tickers = simulator.tickers()
        recorder.say(want=tickers)
        recorder.wait_for_all(len(tickers))
        for number, (fault, details) in enumerate(
            [
                ("close", {}),
                ("reset", {}),
                ("cut", {}),
                ("half_open", {}),
                ("subscription_error", {"code": 10}),
                ("subscription_error", {"code": 25}),
            ],
            start=1,
        ):
            # The older of the two sockets: they take turns.
            simulator.inflict(fault, connections=ordinals(simulator, BOOKS)[:1], **details)
            wait_until(lambda: len(caused(recorder, "book")) == number, what=f"a gap after {fault}")
            recorder.wait_for_all(len(tickers))
        state = recorder.state()
        simulator.inflict("stall", seconds=1)
        wait_until(lambda: recorder.state()["rows"]["orderbook_deltas"] > state["rows"]["orderbook_deltas"] + 50)
        simulator.stop_the_clock()
        recorder.drain(simulator)
        gaps, connections = recorder.gaps_of("book"), recorder.connections()
        listened_to = recorder.rows("subscriptions")
        recorder.say(write=timeseries.reveal())
    assert simulator.stop() == 0
    assert [gap[CAUSE] for gap in gaps] == ["disconnected"] * 4 + ["channel_error", "overflow"]
    assert all(gap[ENDED] for gap in gaps)
    assert [gap[SID] for gap in gaps] == [-1, -1, -1, -1, 1, 2]
    assert sum(each["reconnects"] for each in connections) == 4
    # A gap ends no subscription.
    assert len(listened_to) == len(tickers) + 8
    with connected(timeseries) as connection:
        report = Recorded(simulator.truth, connection).judge()
    assert report["ok"], found(report)


def test_trades_that_no_socket_heard_are_told_of_and_a_refusing_exchange_is_tried_again(simulator):
    with listening(simulator, connections=7) as recorder:
        recorder.wait_for_all(0)
        before = recorder.state()["missed_trades"]
        simulator.inflict("refuse", seconds=2, status=503)
        simulator.inflict("close", connections=ordinals(simulator, "trade"))
        wait_until(lambda: [bool(gap[ENDED]) for gap in recorder.gaps_of("trade")] == [True, True], what="two gaps")
        first, second = recorder.gaps_of("trade")
        missed = [tuple(each) for each in recorder.state()["missed_trades"] if each not in before]
    assert (max(first[3], second[3]), min(first[ENDED], second[ENDED])) in missed


def test_a_refused_key_is_an_alarm_and_markets_come_and_go(simulator):
    with listening(simulator, connections=8) as recorder:
        one, two, *_ = simulator.tickers(status="open")
        recorder.say(want=[one, two, "NO-SUCH-MARKET"])
        wait_until(lambda: recorder.books() == (3, 2, 0), what="two of three heard")
        recorder.say(unwant=[one, "NO-SUCH-MARKET"])
        wait_until(lambda: recorder.books() == (1, 1, 0), what="one left")
        wait_until(lambda: book_markets(simulator) == 1, what="one left at the exchange")
        rows = [row for row in recorder.rows("subscriptions") if row[5] == one]
        assert [row[2] is None for row in rows] == [True, False]
        # For long enough that whoever was closed meets it, however long its turn to dial takes.
        refusal = simulator.inflict("refuse", seconds=600, status=401)
        simulator.inflict("close", connections=ordinals(simulator, "ticker"))
        wait_until(lambda: recorder.state()["halted"], what="an alarm")
        simulator.lift(refusal["fault_id"])
