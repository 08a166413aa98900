"""Trades before the exchange's cutoff are in its archive, and no longer among the recent ones."""

import pytest

from tests.processes import wait_until

MIDNIGHT = "2026-11-22T00:00:00Z"
MIDNIGHT_US = 1_795_305_600_000_000


@pytest.fixture(scope="module")
def simulator(start_for_module):
    options = ("--markets", 50, "--rate", 200, "--tier", "unlimited", "--speed", 20, "--live-days", 0)
    running = start_for_module(*options, "--start", "2026-11-21T23:59:30Z")
    assert trades(running, "/historical/trades") == [], "nothing happened before the day began"
    wait_until(lambda: running.state()["now_us"] > MIDNIGHT_US + 20_000_000, what="midnight")
    running.stop_the_clock()
    return running


def trades(simulator, path, **filters):
    return simulator._all(path, "trades", filters)


def test_the_cutoff_parts_them(simulator):
    assert simulator.rest("/historical/cutoff").body["trades_created_ts"] == MIDNIGHT
    old, recent = (trades(simulator, path) for path in ("/historical/trades", "/markets/trades"))
    assert {trade["created_time"][:10] for trade in old} == {"2026-11-21"}
    assert {trade["created_time"][:10] for trade in recent} == {"2026-11-22"}
    assert len({trade["trade_id"] for trade in old + recent}) == len(old) + len(recent)


def test_the_archive_has_pages_and_filters(simulator):
    old = trades(simulator, "/historical/trades")
    paged, cursor = [], ""
    while True:
        page = simulator.rest("/historical/trades", limit=7, cursor=cursor).body
        paged += page["trades"]
        if not (cursor := page["cursor"]):
            break
    assert paged == old
    assert old == sorted(old, key=lambda trade: trade["created_time"], reverse=True)
    ticker = old[0]["ticker"]
    own = [trade for trade in old if trade["ticker"] == ticker]
    assert trades(simulator, "/historical/trades", ticker=ticker) == own
    last = MIDNIGHT_US // 1_000_000 - 5
    late = [trade for trade in old if trade["created_time"] >= "2026-11-21T23:59:55"]
    assert trades(simulator, "/historical/trades", min_ts=last) == late
    assert trades(simulator, "/historical/trades", max_ts=last) == [trade for trade in old if trade not in late]
    assert trades(simulator, "/markets/trades", max_ts=last) == []


def test_a_page_of_one_list_is_none_of_the_other(simulator):
    cursor = simulator.rest("/markets/trades", limit=1).body["cursor"]
    assert simulator.rest("/historical/trades", cursor=cursor).status == 400
