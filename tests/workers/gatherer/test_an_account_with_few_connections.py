"""The exchange grants an account so many connections: all gatherers share them, and none storms a closed door."""

import contextlib
import math
import time

import pytest

from tests.processes import wait_until
from tests.simulator.running import running_simulator
from tests.workers.listening import listening, refused_handshakes

GRANTED = 24
MARKETS = 60


@contextlib.contextmanager
def exchange(folder, connections):
    options = ["--markets", MARKETS, "--rate", 50, "--tier", "unlimited", "--connections-per-user", connections]
    with running_simulator(folder, *options) as simulator:
        yield simulator


def states(recorder, role):
    return [each["state"] for each in recorder.connections(role)]


def test_with_the_defaults_three_gatherers_on_one_key_hear_every_book_and_every_channel(tmp_path):
    with exchange(tmp_path, GRANTED) as simulator, contextlib.ExitStack() as stack:
        tickers = simulator.tickers(status="open")
        settings = {"KALSHI_GATHERERS": 3, "KALSHI_ACCOUNT_CONNECTIONS": GRANTED}
        recorders = [
            stack.enter_context(listening(simulator, connections=None, KALSHI_GATHERER=name, **settings))
            for name in ("one", "two", "three")
        ]
        for recorder in recorders:
            recorder.say(want=tickers)
        for recorder in recorders:
            recorder.wait_for_all(len(tickers))
            assert len(recorder.connections()) == GRANTED // 3
            assert recorder.state()["why_not_ready"] is None
        assert refused_handshakes(simulator) == 0


def test_where_the_account_grants_less_than_is_configured_what_there_is_hears_everything(tmp_path):
    """Nine are asked for and seven let in: those of the whole exchange first, and one takes over all order books."""
    settings = {"KALSHI_ACCOUNT_CONNECTIONS": 100, "KALSHI_REHOME_SECONDS": 1}
    with exchange(tmp_path, 16) as simulator, listening(simulator, connections=9) as first:
        tickers = simulator.tickers(status="open")
        first.wait_for_all(0)
        with listening(simulator, connections=12, **settings) as second:
            second.say(want=tickers)
            started_seconds = time.monotonic()
            wait_until(lambda: second.books()[1] == len(tickers), what="every order book heard on what is open")
            for role in ("ticker", "trade", "lifecycle"):
                assert states(second, role) == ["open", "open"]
            assert states(second, "book").count("open") == 1
            assert second.state()["why_not_ready"] is None, "it hears all there is"
            waited_seconds = time.monotonic() - started_seconds
            # Each knock waits twice as long as the last; the first ones may have been several at once.
            assert refused_handshakes(simulator) <= 5 + 2 * math.log2(2 + waited_seconds)
            assert first.stop() == 0
            wait_until(lambda: states(second, "book").count("open") == 6, what="all sockets, now that there is room")


@pytest.mark.parametrize("is_told", [True, False])
def test_after_a_closure_all_sockets_come_back_and_meanwhile_one_knocks(tmp_path, is_told):
    """Told by REST that the exchange is open, or by the first socket that opens."""
    closed_seconds = 8
    with exchange(tmp_path, 200) as simulator, listening(simulator, connections=20) as recorder:
        recorder.wait_for_all(0)
        recorder.say(open=not is_told)
        simulator.inflict("refuse", seconds=closed_seconds, status=503)
        simulator.inflict("close")
        wait_until(lambda: "open" not in states(recorder, None), what="no socket left")
        wait_until(lambda: not simulator.state()["faults"], what="the end of the closure")
        refused = refused_handshakes(simulator)
        recorder.say(open=True)
        wait_until(lambda: set(states(recorder, None)) == {"open"}, what="all sockets open")
        # Of those that were dialling when the first was refused, each counts.
        assert refused == 0 if is_told else 0 < refused <= 20 + 2 * math.log2(2 + closed_seconds)
        assert refused_handshakes(simulator) == refused
