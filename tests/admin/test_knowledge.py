"""What is given of a market says up to when it is known, and what nobody heard."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.admin.seeded import TICKER
from tests.gatherers import execute

MINUTE = timedelta(minutes=1)
LAST = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
HOLE = (LAST - 2 * timedelta(hours=1) + 20 * MINUTE, LAST - 2 * timedelta(hours=1) + 21 * MINUTE)
KNOWN_UNTIL = LAST - timedelta(hours=1) + 30 * MINUTE
PENDING = LAST - timedelta(hours=3)


@pytest.fixture
def recorded(changing):
    """A record of which the last hours are known, with a hole in the book and the trades of one minute."""
    ours = changing.dsn
    execute(ours, "DELETE FROM coverage")
    execute(ours, "DELETE FROM coverage_hours WHERE hour >= %s", (LAST,))
    execute(ours, "UPDATE coverage_hours SET judged_changes = 0")
    execute(
        ours, "UPDATE coverage_hours SET known_until = %s WHERE hour = %s", (KNOWN_UNTIL, LAST - timedelta(hours=1))
    )
    execute(ours, "UPDATE coverage_hours SET known_until = hour WHERE hour = %s", (PENDING,))
    execute(ours, "UPDATE markets SET open_time = open_time - INTERVAL '1 day'")
    for channel, ticker in (("orderbook_delta", TICKER), ("trade", "")):
        execute(
            ours,
            "INSERT INTO coverage (hour, channel, ticker, state, holes, repaired, repaired_by) "
            "VALUES (%s, %s, %s, 'hole', tstzmultirange(tstzrange(%s, %s)), '{}', '{}')",
            (LAST - timedelta(hours=2), channel, ticker, *HOLE),
        )
    first = LAST - timedelta(hours=4)
    execute(ours, "DELETE FROM orderbook_deltas")
    execute(ours, "UPDATE orderbook_snapshots SET snapshot_ts = %s, received_at = %s", (first, first))
    return changing


def book(api, at=None):
    answer = api.get(f"/admin/markets/{TICKER}/book", query_string={"at": at.isoformat()} if at else {})
    return answer.status_code, answer.json


def moments(body, name):
    return [datetime.fromisoformat(bound) for bound in body[name]]


def test_a_book_beyond_what_is_known_is_refused_with_the_time_that_is(recorded):
    status, problem = book(recorded, KNOWN_UNTIL + timedelta(microseconds=1))
    assert status == 409
    assert datetime.fromisoformat(problem["known_until"]) == KNOWN_UNTIL
    assert KNOWN_UNTIL.isoformat() in problem["detail"]
    assert book(recorded, datetime.now(UTC) + timedelta(days=1))[0] == 409
    assert book(recorded, KNOWN_UNTIL)[0] == 200


def test_a_book_that_is_asked_for_without_a_time_is_the_last_that_is_known(recorded):
    hear(recorded)
    status, body = book(recorded)
    assert (status, body["state"], datetime.fromisoformat(body["at"])) == (200, "complete", KNOWN_UNTIL)
    assert datetime.fromisoformat(body["known_until"]) == KNOWN_UNTIL


def test_a_book_in_a_hole_is_given_with_the_hole(recorded):
    status, body = book(recorded, HOLE[0] + timedelta(seconds=1))
    assert (status, body["state"], moments(body, "hole")) == (200, "hole", list(HOLE))
    assert body["yes"]
    for at in (HOLE[0] - timedelta(microseconds=1), HOLE[1]):
        assert (book(recorded, at)[1]["state"], book(recorded, at)[1]["hole"]) == ("complete", None)


def test_a_book_of_an_hour_that_is_not_judged_yet_is_not_called_complete(recorded):
    assert book(recorded, PENDING + 5 * MINUTE)[1]["state"] == "unknown"


def hear(api):
    """A gatherer says that it hears the market."""
    execute(api.dsn, "UPDATE gatherer_runs SET started_at = now() - INTERVAL '1 day'")
    execute(
        api.dsn,
        "INSERT INTO gatherer_subscriptions (gatherer, run_id, started_at, conn, channel, ticker) "
        "VALUES ('gatherer-1a', 1, now() - INTERVAL '1 day', 8, 'orderbook_delta', %s)",
        (TICKER,),
    )


def test_of_an_hour_that_goes_on_the_journals_tell(recorded):
    at = KNOWN_UNTIL - 5 * MINUTE
    assert book(recorded, at)[1]["state"] == "unknown"
    hear(recorded)
    assert book(recorded, at)[1]["state"] == "complete"
    execute(
        recorded.dsn,
        "INSERT INTO gatherer_gaps (gatherer, run_id, number, conn, started_at, ended_at, sid, markets, channel, cause) "
        "VALUES ('gatherer-1a', 1, 7, 8, %s, %s, 3, 1, 'orderbook_delta', 'sequence')",
        (at - MINUTE, at + MINUTE),
    )
    assert book(recorded, at)[1]["state"] == "unknown"
    assert book(recorded, at + MINUTE)[1]["state"] == "complete"


def test_after_its_close_nothing_of_a_market_is_known(recorded):
    hear(recorded)
    closed = LAST - timedelta(hours=2) + 50 * MINUTE
    execute(recorded.dsn, "UPDATE markets SET close_time = %s + INTERVAL '0.5 seconds'", (closed,))
    status, problem = book(recorded, closed + MINUTE)
    assert (status, datetime.fromisoformat(problem["known_until"])) == (409, closed + timedelta(seconds=0.5))
    assert book(recorded)[1]["state"] == "complete"


@pytest.mark.parametrize(("what", "is_in_hole"), [("trades", True), ("tickers", False), ("candles", True)])
def test_what_is_given_of_a_market_comes_with_what_is_known_of_it(recorded, what, is_in_hole):
    path = f"/admin/markets/{TICKER}/{what}"
    body = recorded.json(path)
    assert datetime.fromisoformat(body["known_until"]) == KNOWN_UNTIL
    assert [list(map(datetime.fromisoformat, hole)) for hole in body["holes"]] == ([list(HOLE)] if is_in_hole else [])
    later = recorded.json(path, **{"from": HOLE[1].isoformat()})
    assert later["holes"] == []
    part = recorded.json(path, **{"from": (HOLE[0] + timedelta(seconds=9)).isoformat()})["holes"]
    assert [datetime.fromisoformat(hole[0]) for hole in part] == [HOLE[0] + timedelta(seconds=9)] * is_in_hole
    if what != "candles":
        headers = recorded.get(path, query_string={"format": "ndjson"}).headers
        assert headers["Known-Until"] == KNOWN_UNTIL.isoformat()
        assert headers["Holes"] == ("/".join(bound.isoformat() for bound in HOLE) if is_in_hole else "none")


def test_where_nothing_was_judged_yet_nothing_is_certain(recorded):
    execute(recorded.dsn, "DELETE FROM coverage_hours")
    status, body = book(recorded)
    assert (status, body["state"], body["known_until"]) == (200, "unknown", None)
    assert book(recorded, datetime.now(UTC) + MINUTE)[0] == 409
