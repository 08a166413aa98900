"""What a database knows of markets that an earlier run stored: the real database, and an exchange by a script."""

import pytest

from app.markets.ingest import ChangeFeed, RegistryUpdater
from app.markets.refetch_queue import RefetchQueue
from app.markets.registry import VANISHING_US, Markets
from app.markets.sync import MarketReader, UnendedMarkets
from app.polling.trades import DirectSink
from app.postgres.databases import DatabaseKind
from app.runtime.events import Event
from app.runtime.threads import inline
from app.storage.tables import QUARANTINE
from tests.gatherers import NOON, at, execute, put_market
from tests.kalshi.exchange import Reply, client_of
from tests.markets.build import market_json
from tests.servers import new_database
from workers.registry.known_markets import RecalledMarkets, StoredMarkets, VanishedMarkets

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
    sink, stopping = MetadataSink(metadata), Event()

    def run(*walked, **options):
        intake = RegistryUpdater(Markets(), sink, ChangeFeed(stopping), RefetchQueue("events"), lambda: NOON_US)
        with client_of(exchange) as client:
            reading, walks = MarketReader(client, intake, combos=True), Event()
            intake.take_markets(walked)
            walks.set()
            options = {"are_stored": lambda _us: True, "vanishing_seconds": 0, **options}
            markets = StoredMarkets(UnendedMarkets(metadata, inline).page, intake, stopping)
            VanishedMarkets(reading, intake, markets, options.pop("are_stored"), walks, stopping, **options).run()
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


class Restarted:
    """A new process after its start: what it recalls, what it tells of that, and what a walk then shows."""

    def __init__(self, metadata, sink, client, combos):
        self.now_us = NOON_US
        self.stopping, self.walked = Event(), Event()
        feed = ChangeFeed(self.stopping)
        self.told = feed.subscribe()
        self.intake = RegistryUpdater(Markets(), sink, feed, RefetchQueue("events"), lambda: self.now_us)
        self.reading = MarketReader(client, self.intake, combos=combos)
        self.stored = StoredMarkets(UnendedMarkets(metadata, inline).page, self.intake, self.stopping)

    def recall(self):
        RecalledMarkets(self.reading, self.stored, self.intake, self.walked, self.stopping).run()
        return [(change.ticker, change.event_type, change.new_status) for change in self.changes()]

    def changes(self):
        while not self.told.empty():
            yield self.told.get()

    def walk(self, *shown):
        """One walk that shows these, and asks by name for the others."""
        self.intake.markets.begin_walk()
        self.intake.take_markets(shown)
        for ticker in self.intake.markets.sweep(range(self.intake.markets.slots), 0):
            self.intake.vanish(ticker)
        self.walked.set()

    def look_for_vanished(self):
        looks = self.reading, self.intake, self.stored, lambda _us: True, self.walked, self.stopping
        VanishedMarkets(*looks, vanishing_seconds=0).run()


@pytest.fixture
def restarted(metadata, exchange):
    sink = MetadataSink(metadata)
    with client_of(exchange) as client:
        yield lambda combos=True: Restarted(metadata, sink, client, combos)
    sink.close()


def test_what_an_earlier_run_knew_is_followed_before_the_exchange_has_shown_it(metadata, restarted):
    put_market(metadata, "KXTEST-OPEN", closes=60, title="Open")
    put_market(metadata, "KXTEST-OVER", closes=-1)
    put_market(metadata, "KXTEST-SETTLED", closes=60, status="finalized")
    process = restarted()
    assert process.recall() == [("KXTEST-OPEN", "created", "active")]
    market = process.intake.markets.get("KXTEST-OPEN")
    assert (market.title, market.close_us) == ("Open", NOON_US + 60 * 60_000_000)


def test_one_that_opened_meanwhile_by_its_schedule_is_active(metadata, restarted):
    put_market(metadata, "KXTEST-1", closes=60, status="initialized")
    execute(metadata, "UPDATE markets SET open_time = %s", (at(-5),))
    assert restarted().recall() == [("KXTEST-1", "created", "active")]


def test_what_is_known_already_stays_as_the_exchange_showed_it(metadata, restarted):
    put_market(metadata, "KXTEST-1", closes=60)
    process = restarted()
    process.intake.take_markets([market_json("KXTEST-1", status="inactive")])
    list(process.changes())
    assert process.recall() == []
    assert process.intake.markets.get("KXTEST-1").status == "inactive"


def test_combos_come_last_or_not_at_all(metadata, restarted):
    put_market(metadata, "KXMVE-1", closes=60)
    execute(metadata, "UPDATE markets SET mve_collection_ticker = 'KXMVE'")
    put_market(metadata, "KXTEST-1", closes=60)
    assert [ticker for ticker, *_ in restarted().recall()] == ["KXTEST-1", "KXMVE-1"]
    assert [ticker for ticker, *_ in restarted(combos=False).recall()] == ["KXTEST-1"]


def test_the_first_walk_corrects_what_was_recalled(metadata, restarted):
    put_market(metadata, "KXTEST-1", closes=60)
    put_market(metadata, "KXTEST-2", closes=60)
    process = restarted()
    process.recall()
    process.walk(market_json("KXTEST-1"), market_json("KXTEST-2", status="finalized"))
    assert [(change.ticker, change.event_type) for change in process.changes()] == [("KXTEST-2", "settled")]
    assert process.intake.markets.walked == 2


def test_one_that_was_recalled_and_is_gone_ends_when_it_was_missing_for_long_enough(metadata, exchange, restarted):
    put_market(metadata, "KXTEST-GONE", closes=60 * 24 * 40)
    exchange.answers(Reply(200, {"markets": [], "cursor": ""}))
    process = restarted()
    process.recall()
    process.walk()
    process.look_for_vanished()
    assert stored(metadata)["KXTEST-GONE"][0] == "active"
    process.now_us += VANISHING_US
    process.look_for_vanished()
    assert stored(metadata)["KXTEST-GONE"] == ["closed", at(10), "A market"]
    assert not process.intake.markets.knows("KXTEST-GONE")


def test_after_the_first_walk_nothing_is_recalled_any_more(metadata, restarted):
    put_market(metadata, "KXTEST-1", closes=60)
    process = restarted()
    process.walk()
    assert process.recall() == []
