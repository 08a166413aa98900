"""Markets that the exchange stopped showing while no gatherer ran: the real database, and an exchange by a script."""

import gevent.event
import pytest

from app.markets.ingest import ChangeFeed, RegistryUpdater
from app.markets.refetch_queue import RefetchQueue
from app.markets.registry import Markets
from app.markets.sync import MarketReader, UnendedMarkets
from app.polling.trades import DirectSink
from app.postgres.databases import DatabaseKind
from app.runtime.threads import inline
from app.storage.tables import QUARANTINE
from tests.gatherers import NOON, at, execute, put_market
from tests.kalshi.exchange import Reply, client_of
from tests.markets.build import market_json
from tests.servers import new_database
from workers.registry.market_sync import VanishedMarkets

NOON_US = int(NOON.timestamp()) * 1_000_000


class MetadataSink(DirectSink):
    """What is not fit goes to another database."""

    def put(self, table, rows):
        if table is not QUARANTINE:
            super().put(table, rows)


def shown(ticker, **fields):
    return {"ticker": ticker, "event_ticker": "KXTEST", "status": "active", "title": "A market", **fields}


@pytest.fixture
def metadata(server, templates):
    return new_database(server, templates[DatabaseKind.METADATA])


@pytest.fixture
def look(metadata, exchange):
    """A function that lets a new process look, to which a walk has shown these markets."""
    sink, stopping = MetadataSink(metadata), gevent.event.Event()

    def run(*walked, **options):
        intake = RegistryUpdater(Markets(), sink, ChangeFeed(stopping), RefetchQueue("events"), lambda: NOON_US)
        with client_of(exchange) as client:
            reading, walks = MarketReader(client, intake, combos=True), gevent.event.Event()
            intake.take_markets(walked)
            walks.set()
            options = {"are_stored": lambda _us: True, "vanishing_seconds": 0, **options}
            find, stored = UnendedMarkets(metadata, inline).page, options.pop("are_stored")
            VanishedMarkets(reading, intake, find, stored, walks, stopping, **options).run()
        return intake.markets

    yield run
    sink.close()


def stored(metadata):
    return {
        ticker: facts for ticker, *facts in execute(metadata, "SELECT ticker, status, close_time, title FROM markets")
    }


def names_asked(exchange):
    return [dict(asked.query)["tickers"].split(",") for asked in exchange.asked]


def test_one_that_is_gone_ends_and_what_was_known_of_it_stays(metadata, exchange, look):
    put_market(metadata, "KXTEST-GONE", closes=60 * 24 * 40)
    put_market(metadata, "KXTEST-OPEN", title="Open for ever")
    exchange.answers(Reply(200, {"markets": [], "cursor": ""}))
    assert len(look()) == 0
    assert stored(metadata) == {
        "KXTEST-GONE": ["closed", at(0), "A market"],
        "KXTEST-OPEN": ["closed", at(0), "Open for ever"],
    }


def test_only_those_are_asked_for_that_no_walk_shows_and_that_are_open(metadata, exchange, look):
    put_market(metadata, "KXTEST-1", closes=60)
    put_market(metadata, "KXTEST-OVER", closes=-1)
    put_market(metadata, "KXTEST-SETTLED", closes=60, status="finalized")
    put_market(metadata, "KXTEST-UNKNOWN", closes=60)
    exchange.answers(Reply(200, {"markets": [], "cursor": ""}))
    look(market_json("KXTEST-1"))
    assert names_asked(exchange) == [["KXTEST-UNKNOWN"]] * 2
    assert [stored(metadata)[name][0] for name in ("KXTEST-1", "KXTEST-OVER")] == ["active", "active"]


def test_one_that_is_missing_once_and_shown_again_goes_on(metadata, exchange, look):
    put_market(metadata, "KXTEST-1", closes=60)
    again = [shown("KXTEST-1", close_time="2026-11-01T13:00:00Z")]
    exchange.answers(Reply(200, {"markets": [], "cursor": ""}), Reply(200, {"markets": again, "cursor": ""}))
    look()
    assert stored(metadata)["KXTEST-1"][:2] == ["active", at(60)]


def test_one_that_settled_meanwhile_is_stored_as_the_exchange_shows_it_and_is_followed_by_nobody(
    metadata, exchange, look
):
    put_market(metadata, "KXTEST-1", closes=60)
    settled = [shown("KXTEST-1", status="finalized", result="yes", close_time="2026-11-01T11:00:00Z")]
    exchange.answers(Reply(200, {"markets": settled, "cursor": ""}))
    assert len(look()) == 0
    assert stored(metadata)["KXTEST-1"][:2] == ["finalized", at(-60)]


def test_one_whose_answer_cannot_be_read_is_there(metadata, exchange, look):
    put_market(metadata, "KXTEST-1", closes=60)
    exchange.answers(Reply(200, {"markets": [shown("KXTEST-1", status="asleep")], "cursor": ""}))
    look()
    assert stored(metadata)["KXTEST-1"][:2] == ["active", at(60)]


def test_its_end_may_still_wait_on_disk(metadata, exchange, look):
    """So nothing is looked up before that is stored."""
    put_market(metadata, "KXTEST-1", closes=60)
    exchange.answers(Reply(200, {"markets": [], "cursor": ""}))

    def are_stored(_us):
        put_market(metadata, "KXTEST-1", closes=-5, status="finalized")
        return True

    look(are_stored=are_stored)
    assert (exchange.asked, stored(metadata)["KXTEST-1"][0]) == ([], "finalized")
