import threading
from datetime import timedelta

import pytest

from app.errors import DatabaseError
from app.postgres.connection import connected
from app.replicate.follower import METADATA_COPIES, Follower
from app.replicate.journal import confirm_metadata
from app.runtime.threads import inline
from app.storage.cleanup import drop_ended
from tests.gatherers import Gatherer, at, execute, put_market
from workers.deduplicator.gatherer_follower import MetadataConfirmer

DAY = 24 * 60
WEEK = timedelta(days=7)
NOW = 30 * DAY


@pytest.fixture
def gatherer(server, templates):
    return Gatherer(server, templates, "a")


def ended(gatherer, ticker, days_ago, **facts):
    put_market(gatherer.metadata, ticker, updated=NOW - days_ago * DAY, **{"status": "finalized", **facts})


def put_event(gatherer, ticker, days_ago):
    query = (
        "INSERT INTO events (event_ticker, series_ticker, title, updated_at, details) VALUES (%s, 'KX', '', %s, '{}')"
    )
    execute(gatherer.metadata, query, (ticker, at(NOW - days_ago * DAY)))


def follow(gatherer, production):
    return Follower("a", gatherer.metadata, production, METADATA_COPIES).round()


def confirm(gatherer, production):
    follow(gatherer, production)
    return confirm_metadata("a", gatherer.metadata, production)


def drop(gatherer, most=5_000):
    with connected(gatherer.metadata) as connection:
        return drop_ended(connection, WEEK, at(NOW), most)


def tickers(dsn, table="markets", column="ticker"):
    return [ticker for (ticker,) in execute(dsn, f"SELECT {column} FROM {table} ORDER BY 1")]


def test_what_has_been_over_for_a_week_leaves_once_production_has_it(gatherer, production):
    ended(gatherer, "KXOLD-1", 8)
    ended(gatherer, "KXOLD-2", 8, status="closed", closes=NOW - 8 * DAY)
    ended(gatherer, "KXNEW-1", 6)
    ended(gatherer, "KXOPEN-1", 8, status="active", closes=NOW + DAY)
    ended(gatherer, "KXOPEN-2", 8, status="active")
    ended(gatherer, "KXLATE-1", 8, status="closed", closes=NOW - 6 * DAY)
    assert drop(gatherer)["markets"] == 0, "production has nothing yet"
    confirm(gatherer, production)
    ended(gatherer, "KXUNREAD-1", 8)
    ended(gatherer, "KXUNREAD-2", 8)
    assert drop(gatherer)["markets"] == 2
    left = ["KXLATE-1", "KXNEW-1", "KXOPEN-1", "KXOPEN-2", "KXUNREAD-1", "KXUNREAD-2"]
    assert tickers(gatherer.metadata) == left
    assert len(tickers(production)) == 6


def test_what_a_production_that_was_put_back_has_lost_stays_until_it_has_it_again(gatherer, production):
    for number in range(3):
        ended(gatherer, f"KXOLD-{number}", 8)
    assert confirm(gatherer, production)["markets"] == 3
    execute(production, "UPDATE sync_cursors SET ingest_id = 1 WHERE table_name = 'markets'")
    assert confirm_metadata("a", gatherer.metadata, production) == {"markets": 1}
    assert drop(gatherer)["markets"] == 1
    assert tickers(gatherer.metadata) == ["KXOLD-1", "KXOLD-2"]


def test_reading_goes_on_behind_what_left(gatherer, production):
    """Also where all of it ended: a table that ends before the last row read would be taken for another one."""
    for number in range(5):
        ended(gatherer, f"KXOLD-{number}", 8)
    confirm(gatherer, production)
    assert drop(gatherer, most=2)["markets"] == 4
    assert follow(gatherer, production)["markets"] == 0
    ended(gatherer, "KXNEXT-1", 0)
    assert follow(gatherer, production)["markets"] == 1
    assert len(tickers(production)) == 6


def test_events_leave_after_their_last_market(gatherer, production):
    for ticker, days_ago in (("KXTEST", 8), ("KXBARE", 8), ("KXYOUNG", 6), ("KXLAST", 8)):
        put_event(gatherer, ticker, days_ago)
    ended(gatherer, "KXTEST-1", 6)
    confirm(gatherer, production)
    assert drop(gatherer)["events"] == 1
    assert tickers(gatherer.metadata, "events", "event_ticker") == ["KXLAST", "KXTEST", "KXYOUNG"]
    assert "KXBARE" in tickers(production, "events", "event_ticker")


def test_what_another_server_s_cursor_says_confirms_nothing(gatherer, production):
    ended(gatherer, "KXOLD-1", 8)
    ended(gatherer, "KXOLD-2", 8)
    confirm(gatherer, production)
    execute(production, "UPDATE sync_cursors SET system_identifier = 1")
    assert confirm_metadata("a", gatherer.metadata, production) == {}
    assert drop(gatherer)["markets"] == 0


def test_a_gatherer_that_is_away_keeps_no_other_from_being_confirmed(server, templates, gatherer, production):
    ended(gatherer, "KXOLD-1", 8)
    follow(gatherer, production)
    away = Gatherer(server, templates, "0-away")
    execute(away.metadata, "DROP TABLE confirmations")
    with pytest.raises(DatabaseError):
        confirm_metadata("0-away", away.metadata, production)
    metadata = {"0-away": away.metadata, "a": gatherer.metadata}
    MetadataConfirmer(metadata, production, inline, threading.Event()).step()
    confirmed = execute(gatherer.metadata, "SELECT ingest_id FROM confirmations WHERE table_name = 'markets'")
    assert confirmed == [(1,)]
