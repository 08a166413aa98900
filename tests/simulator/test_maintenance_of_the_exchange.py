from app.simulator.market.catalog import Catalog
from app.simulator.market.changes import SimDelta, SimLifecycle
from app.simulator.market.exchange import CLOCKS_RESTARTED, Exchange
from tests.simulator.recording import START_US

SECOND_US = 1_000_000


def exchange():
    return Exchange(Catalog(seed=6, markets=100, start_us=START_US), 1_000)


def deltas(changes):
    return [change for change in changes if isinstance(change, SimDelta)]


def test_nobody_trades_during_a_pause_while_markets_open_and_close():
    paused = exchange()
    assert deltas(paused.advance(START_US + SECOND_US))
    paused.pause()
    during = paused.advance(START_US + 40 * SECOND_US)
    # What a resumed market cancels is the exchange's own doing.
    resumed = {
        (change.at_us) for change in during if isinstance(change, SimLifecycle) and change.event_type == "activated"
    }
    assert {delta.at_us for delta in deltas(during)} <= resumed
    assert any(isinstance(change, SimLifecycle) and change.event_type == "settled" for change in during)
    paused.resume()
    after = deltas(paused.advance(START_US + 41 * SECOND_US))
    assert after
    assert after[0].at_us >= START_US + 40 * SECOND_US


def test_clocks_start_again_and_the_history_says_when():
    restarted = exchange()
    before = {delta.market: delta.clock for delta in deltas(restarted.advance(START_US + 2 * SECOND_US))}
    restarted.restart_clocks()
    hot = max(before, key=before.get)
    assert restarted.book(hot).clock == 1
    after = restarted.advance(START_US + 4 * SECOND_US)
    assert after[0] == SimLifecycle(START_US + 2 * SECOND_US, "", "silent", CLOCKS_RESTARTED, {})
    fallen = [delta for delta in deltas(after) if delta.clock < before.get(delta.market, 0)]
    assert fallen
    assert all(delta.clock < 100_000 for delta in deltas(after))


def test_books_stay_as_they_are_when_clocks_restart():
    restarted = exchange()
    restarted.advance(START_US + 2 * SECOND_US)
    before = [restarted.book(index)[1:] for index in range(100)]
    restarted.restart_clocks()
    assert [restarted.book(index)[1:] for index in range(100)] == before


def test_the_rate_can_be_changed_and_stopped():
    changed = exchange()
    changed.changes_per_second = 0
    assert deltas(changed.advance(START_US + SECOND_US)) == []
    changed.changes_per_second = 2_000
    later = changed.advance(START_US + 2 * SECOND_US)
    assert 1_500 < len(later) < 2_500
    assert all(START_US + SECOND_US <= change.at_us <= START_US + 2 * SECOND_US for change in later)
