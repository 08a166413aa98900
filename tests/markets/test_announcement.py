import pytest

from app.kalshi.messages import decode
from app.markets.lifecycle import announcement_of, as_created, as_told
from tests.markets.build import DAY_US, NOW_US, SECOND_US, frame, lifecycle, market


def told(event_type, **facts):
    return announcement_of(decode(frame(lifecycle(event_type, **facts))))


@pytest.mark.parametrize(
    ("status", "announced", "expected"),
    [
        ("active", {"event_type": "deactivated", "is_deactivated": True}, "inactive"),
        ("inactive", {"event_type": "activated", "is_deactivated": False}, "active"),
        ("closed", {"event_type": "activated"}, "active"),
        ("closed", {"event_type": "determined", "result": "yes"}, "determined"),
        ("determined", {"event_type": "settled", "settled_ts": 1}, "finalized"),
        ("finalized", {"event_type": "determined", "result": "yes"}, "finalized"),
        ("amended", {"event_type": "determined", "result": "yes"}, "amended"),
        ("determined", {"event_type": "activated"}, "determined"),
        ("active", {"event_type": "metadata_updated"}, "active"),
        ("active", {"event_type": "status_change", "old_status": "active", "new_status": "closed"}, "closed"),
        ("active", {"event_type": "status_change", "new_status": "sleeping"}, "active"),
        ("active", {"event_type": "unheard of"}, "active"),
    ],
)
def test_what_is_told_of_a_market_leads_to_its_status(status, announced, expected):
    assert as_told(market(status=status), told(**announced), NOW_US).status == expected


def test_a_determination_tells_the_result():
    assert as_told(market(status="closed"), told("determined", result="no"), NOW_US).result == "no"


def test_a_moved_closing_is_known_at_once():
    moved = as_told(market(), told("close_date_updated", close_ts=1_800_000_000), NOW_US)
    assert moved.close_us == 1_800_000_000 * SECOND_US


@pytest.mark.parametrize(
    ("close_us", "facts", "expected_us"),
    [
        (NOW_US + 40 * DAY_US, {"determination_ts": NOW_US // SECOND_US - 3}, NOW_US - 3 * SECOND_US),
        (None, {"determination_ts": NOW_US // SECOND_US - 3}, NOW_US - 3 * SECOND_US),
        (NOW_US + 40 * DAY_US, {"determination_ts": NOW_US // SECOND_US + 60}, NOW_US),
        (NOW_US + 40 * DAY_US, {}, NOW_US),
        (NOW_US - 5 * SECOND_US, {"determination_ts": NOW_US // SECOND_US - 3}, NOW_US - 5 * SECOND_US),
    ],
)
def test_a_market_that_is_decided_before_its_closing_ends_then(close_us, facts, expected_us):
    decided = as_told(market(close_us=close_us), told("determined", result="no", **facts), NOW_US)
    assert (decided.status, decided.close_us) == ("determined", expected_us)
    settled = as_told(decided, told("settled", settled_ts=NOW_US // SECOND_US + 5), NOW_US)
    assert (settled.status, settled.result, settled.close_us) == ("finalized", "no", expected_us)


def test_a_created_market_is_known_by_its_times():
    created = told(
        "created",
        open_ts=NOW_US // SECOND_US,
        close_ts=NOW_US // SECOND_US + 60,
        exchange_index=2,
        additional_metadata={"event_ticker": "KXA-1", "floor_strike": 3.5},
    )
    expected = market(
        status="initialized", exchange_index=2, open_us=NOW_US, close_us=NOW_US + 60 * SECOND_US, event_ticker="KXA-1"
    )
    assert as_created(created) == expected


@pytest.mark.parametrize("body", [{"event_type": "created"}, {"event_type": "created", "open_ts": "soon"}])
def test_too_little_to_know_a_market_by_is_left_to_rest(body):
    announcement = announcement_of(decode(frame({"market_ticker": "KXA-1-T1", **body})))
    assert announcement.market_ticker == "KXA-1-T1"
    assert as_created(announcement) is None


def test_events_are_named():
    message = decode(frame({"event_ticker": "KXA-1", "title": "A"}, "event_lifecycle"))
    assert announcement_of(message).event_ticker == "KXA-1"


def test_who_names_nobody_is_not_understood():
    assert announcement_of(decode(frame({"market_ticker": 7}))) is None
