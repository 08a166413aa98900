"""How complete days are, and what each gatherer received of them; and what lies in the lake."""

import random
from datetime import UTC, datetime, timedelta

import pytest
from psycopg2.extras import execute_values

from admin.pages.completeness import contributions_of, days_of
from admin.web.database import RequestDatabase
from app.coverage.evidence import BOOKS, TRADES, HeardPeriod, read_evidence, read_subscriptions
from app.coverage.intervals import difference, intersection, union, us_of
from app.lake.archive import Archive
from app.lake.storage import FolderStorage
from app.postgres.connection import connected
from app.runtime.threads import inline
from app.storage.tables import PRODUCTION_TRADES
from kalshi_data.chain import head_of, link_key
from tests.admin.asked import Asked, service_of
from tests.gatherers import execute
from tests.lake.exporting import write
from tests.lake.test_chain import NOON, export, trade

DAY = datetime(2026, 11, 21, tzinfo=UTC)
HOUR = timedelta(hours=1)
FIRST, LAST = DAY + 9 * HOUR, DAY + 12.5 * HOUR
GATHERERS = ("north", "south", "west")
TICKERS = [f"KX-{number}" for number in range(6)]


def rows(dsn, statement, values):
    with connected(dsn) as connection, connection, connection.cursor() as cursor:
        execute_values(cursor, statement, values)


@pytest.fixture
def recorded(production):
    """Three gatherers with gaps and losses of their own, over three and a half hours."""
    chance = random.Random(11)

    def moment(start=FIRST, end=LAST):
        return start + (end - start) * chance.random()

    markets = [(ticker, FIRST - HOUR, LAST + HOUR) for ticker in TICKERS[:3]]
    markets += [(ticker, moment(end=DAY + 10 * HOUR), moment(start=DAY + 11 * HOUR)) for ticker in TICKERS[3:]]
    rows(
        production,
        "INSERT INTO markets (ticker, event_ticker, title, status, market_type, open_time, close_time, updated_at, details) VALUES %s",
        [(ticker, "KX", "A market", "active", "binary", *life, DAY, "{}") for ticker, *life in markets],
    )
    rows(
        production,
        "INSERT INTO gatherer_runs (gatherer, run_id, started_at, recorded_until, delivered_until) VALUES %s",
        [(name, 1, FIRST, LAST, LAST) for name in GATHERERS],
    )
    subscribed = [(ticker, BOOKS, number % 2) for number, ticker in enumerate(TICKERS)] + [("", TRADES, 0)]
    rows(
        production,
        "INSERT INTO gatherer_subscriptions (gatherer, run_id, started_at, ended_at, conn, channel, ticker) VALUES %s",
        [
            (name, 1, FIRST, chance.choice([None, None, LAST - HOUR]), conn, channel, ticker)
            for name in GATHERERS
            for ticker, channel, conn in subscribed
        ],
    )
    gaps = []
    for number in range(60):
        start = moment()
        sid, channel = chance.choice([(-1, BOOKS), (3, BOOKS), (4, TRADES)])
        gap = (start, start + timedelta(minutes=9 * chance.random()), sid, channel, "sequence")
        gaps.append((chance.choice(GATHERERS), 1, number, chance.choice([0, 1]), 9, *gap))
    rows(
        production,
        "INSERT INTO gatherer_gaps (gatherer, run_id, number, conn, markets, started_at, ended_at, sid, channel, cause) VALUES %s",
        gaps,
    )
    rows(
        production,
        "INSERT INTO gatherer_losses (gatherer, table_name, started_at, ended_at) VALUES %s",
        [("north", "trades", FIRST + HOUR, FIRST + 1.2 * HOUR)],
    )
    rows(
        production,
        "INSERT INTO coverage_hours (hour, known_until) VALUES %s",
        [(FIRST + number * HOUR, min(FIRST + (number + 1) * HOUR, LAST)) for number in range(4)],
    )
    execute(production, "INSERT INTO coverage_changes (hour) SELECT hour FROM coverage_hours")
    execute(production, "UPDATE coverage_hours SET judged_changes = 0")
    return production


def seconds(intervals):
    return sum(end - start for start, end in intervals) / 1e6


def expected(dsn, channel, lives):
    """By gatherer, what it missed and what it alone received, as the evidence has it."""
    period = HeardPeriod(FIRST, LAST)
    missed, alone = dict.fromkeys(GATHERERS, 0.0), dict.fromkeys(GATHERERS, 0.0)
    with connected(dsn) as connection:
        evidence = read_evidence(connection, period)
        for ticker, opens, closes in lives:
            subscriptions = read_subscriptions(connection, period, ticker).get(channel, [])
            life = union([(us_of(max(opens, FIRST)), us_of(min(closes, LAST)))])
            lacking = {}
            for name in GATHERERS:
                own = [
                    each._replace(ended_us=None if each.ended_us and each.ended_us >= life[0][1] else each.ended_us)
                    for each in subscriptions
                    if each.socket.run.gatherer == name
                ]
                lacking[name] = difference(life, evidence.of(own, channel, ticker))
                missed[name] += seconds(lacking[name])
            for name in GATHERERS:
                one, other = (lacking[each] for each in GATHERERS if each != name)
                alone[name] += seconds(difference(intersection(one, other), lacking[name]))
    return missed, alone


def test_what_each_gatherer_missed_is_what_its_journal_tells(recorded):
    found = {(row.channel, row.gatherer): row for row in contributions_of(RequestDatabase(recorded, inline), DAY)}
    lives = execute(recorded, "SELECT ticker, open_time, traded_until(close_time) FROM markets")
    for channel, lived in ((BOOKS, lives), (TRADES, [("", FIRST, LAST)])):
        missed, alone = expected(recorded, channel, lived)
        for name in GATHERERS:
            row = found[channel, name]
            assert row.missed_seconds == pytest.approx(missed[name], abs=0.001)
            assert row.alone_seconds == pytest.approx(alone[name], abs=0.001)
            assert row.share == pytest.approx(1 - missed[name] / row.possible_seconds)
        assert all(missed.values())
        assert any(alone.values())
    # Nobody subscribed to these.
    assert found["ticker", "west"].share == 0


def test_a_day_of_which_nothing_is_known_has_no_gatherers(recorded):
    assert contributions_of(RequestDatabase(recorded, inline), DAY + timedelta(days=1)) == []


def test_the_share_of_a_day_is_of_the_time_that_markets_were_open_in_it(recorded):
    execute(
        recorded,
        "INSERT INTO coverage (hour, channel, ticker, state, holes, repaired, repaired_by) "
        "VALUES (%s, %s, 'KX-0', 'hole', tstzmultirange(tstzrange(%s, %s)), '{}', '{}')",
        (FIRST + HOUR, BOOKS, FIRST + HOUR, FIRST + HOUR + timedelta(seconds=90)),
    )
    days = days_of(RequestDatabase(recorded, inline), LAST)
    books, trades, *_ = days[DAY]
    ((open_seconds,),) = execute(
        recorded,
        "SELECT extract(epoch FROM sum(least(traded_until(close_time), %s) - greatest(open_time, %s)))::FLOAT FROM markets",
        (LAST, FIRST),
    )
    assert books.seconds == pytest.approx(open_seconds)
    assert books.share == pytest.approx(1 - 90 / open_seconds)
    assert (books.state, trades.state, trades.share) == ("hole", "pending", 1)
    assert books.text.startswith("21 Nov Order books, 99.8 % of market-seconds: 1 in outages (90 s)")


def test_the_lake_s_page_counts_hours_sizes_and_failures(changing):
    execute(changing.dsn, "UPDATE exports SET size_bytes = 4200000, verified_at = NULLIF(verified_at, verified_at)")
    execute(
        changing.dsn,
        "INSERT INTO exports (table_name, hour, through_ingest_id, row_count, manifest, failures, failure, retry_at, changed_through) "
        "VALUES ('tickers', '2026-11-20T10:00Z', 0, 0, '', 3, 'The bucket is away.', now(), 5)",
    )
    # As app/lake/candle_days.py notes candles.
    execute(
        changing.dsn,
        "INSERT INTO exports (table_name, hour, through_ingest_id, row_count, manifest, verified_at) "
        "VALUES ('ohlcv', '2026-11-20T00:00Z', 0, 12, '', now())",
    )
    page = changing.get("/lake").text
    candles = page[page.index(">ohlcv<") :].split("</tr>")[0]
    assert ">all<" in candles
    assert "failing" not in candles
    assert "21.0 MB" in page
    assert "The bucket is away." in page
    assert "1 failing" in page


def test_the_lake_s_page_shows_the_head_and_the_days_that_it_stands_for(production, tmp_path):
    archive, storage = Archive(production, FolderStorage(tmp_path)), FolderStorage(tmp_path)
    write(production, PRODUCTION_TRADES, [trade(1), trade(2, NOON + timedelta(days=1))])
    export(archive)
    asked = Asked(service_of(production))
    page = asked.get("/lake").text
    assert "Sealed: 2 days, 01 Nov 2026 to 02 Nov 2026, by 2 links" in page
    assert f"<code>{head_of(storage.read(link_key(2)))}</code>" in page
    assert "written since" not in page
    write(production, PRODUCTION_TRADES, [trade(3)])
    while archive.step(archive.datasets()["trades"], settle_seconds=0):
        continue
    assert asked.get("/lake").text.count("written since") == 1
    export(archive)
    page = asked.get("/lake").text
    assert "by 3 links" in page
    assert f"<code>{head_of(storage.read(link_key(3)))}</code>" in page
    assert "written since" not in page
