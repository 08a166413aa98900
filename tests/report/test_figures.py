"""The figures of a day, of a recording small enough to be computed by hand."""

import random
from datetime import timedelta

import pytest

from app.coverage.evidence import BOOKS, LIFECYCLE, TICKERS, TRADES
from app.postgres.connection import connected
from app.report.ages import RECEIVED, day_ages
from app.report.days import report_of
from app.report.figures import AgeFigures, HoleFigures, at_most_ms, joined
from app.report.queries import day_figures
from app.report.words import as_html, as_text, per_cent, sentences
from app.status.readings import asked_over
from kalshi_data.layout import day_of
from tests.coverage.conftest import coverage as coverage  # noqa: PLC0414 - a fixture
from tests.gatherers import NOON, at, execute, put_market

DAY = day_of(NOON)
MINUTE = 60.0
FINDING = """
    INSERT INTO audit_findings (ticker, from_ts, to_ts, from_clock, to_clock, is_explained, differing_levels, levels)
    VALUES (%s, %s, %s, 1, 2, %s, 1, '[]')
"""
SNAPSHOT = """
    INSERT INTO orderbook_snapshots (snapshot_ts, received_at, clock, levels_digest, ticker, source,
        yes_prices_e6, yes_sizes_e2, no_prices_e6, no_sizes_e2)
    VALUES (%(at)s, %(at)s, 1, 1, %(ticker)s, 'ws', '{}', '{}', '{}', '{}')
"""
TRADE = """
    INSERT INTO trades (exchange_ts, received_at, size_e2, yes_price_e6, taker_yes, from_rest, ticker, trade_id)
    VALUES (%(at)s, %(at)s + %(age)s, 100, 500000, TRUE, FALSE, 'KX-LONG', %(id)s)
"""


def put(dsn, table, statement, values):
    execute(dsn, "SELECT ensure_chunk(%s, %s)", (table, values["at"]))
    execute(dsn, statement, values)


def figures_of(dsn):
    with connected(dsn) as connection:
        return day_figures(asked_over(connection), DAY)


def report_now(dsn, days=1):
    with connected(dsn) as connection:
        return report_of(asked_over(connection), DAY, DAY + days * timedelta(days=1))


@pytest.fixture
def two_hours(coverage):
    """Two gatherers from noon until two, and two markets: one is open all the time, the other from 12:30 to 13:00.

    Of the long market's book, a lacks minutes 10 to 20 and b 15 to 25. The short market is received from half a minute
    after its opening on by a, from a minute after it on by b. Nobody receives trades in minutes 40 to 42.
    """
    put_market(coverage.production, "KX-LONG", opens=-60, closes=600)
    put_market(coverage.production, "KX-SHORT", opens=30, closes=60)
    a, b, _ = coverage.gatherers
    for gatherer, since, gap in ((a, 30.5, (10, 20)), (b, 31, (15, 25))):
        gatherer.runs(0, 120).listens_to_all(tickers=["KX-LONG"]).listens(BOOKS, "KX-SHORT", since=since, conn=8)
        gatherer.misses(*gap, conn=7).misses(40, 42, conn=3, channel="trade")
    coverage.judge(121)
    return coverage


def test_books_are_counted_in_seconds_of_markets(two_hours):
    books = figures_of(two_hours.production).channel(BOOKS)
    # The hour before the record began is no part of it.
    assert books.possible_seconds == 120 * MINUTE + 30 * MINUTE
    assert (books.outage_seconds, books.opening_seconds) == (5 * MINUTE, 30)
    assert (books.markets, books.outage_markets) == (2, 1)
    assert books.share == pytest.approx(1 - 330 / 9000)


def test_repaired_time_is_recorded(two_hours):
    execute(
        two_hours.production,
        "INSERT INTO trade_repairs (ticker, started_at, ended_at, reason, trades, added) VALUES ('', %s, %s, 'hole', 0, 0)",
        (at(40), at(41)),
    )
    two_hours.judge(121)
    trades = figures_of(two_hours.production).channel(TRADES)
    assert (trades.possible_seconds, trades.outage_seconds, trades.repaired_seconds) == (7200, 60, 60)
    assert trades.recorded_seconds == 7140


def test_channels_without_holes_are_whole(two_hours):
    figures = figures_of(two_hours.production)
    assert [figures.channel(name).share for name in (TICKERS, LIFECYCLE)] == [1, 1]


def test_what_each_gatherer_alone_would_have_missed(two_hours):
    found = {each.gatherer: each for each in figures_of(two_hours.production).gatherers if each.channel == BOOKS}
    assert found["a"].missed_seconds == pytest.approx(10 * MINUTE + 30)
    assert found["b"].missed_seconds == pytest.approx(10 * MINUTE + 60)
    # Only a received minutes 20 to 25, and the half minute in which b had not subscribed to the short market yet.
    assert found["a"].alone_seconds == pytest.approx(5 * MINUTE + 30)
    assert found["b"].alone_seconds == pytest.approx(5 * MINUTE)


def test_an_hour_needs_as_many_gatherers_as_it_takes_to_have_all_that_any_received(two_hours):
    assert figures_of(two_hours.production).hours_needed == {1: 1, 2: 1}


def test_books_are_proven_up_to_the_exchange_s_last_confirmation(two_hours):
    put(two_hours.production, "orderbook_snapshots", SNAPSHOT, {"at": at(60), "ticker": "KX-LONG"})
    execute(two_hours.production, "UPDATE audit_progress SET ingest_id = 10")
    # Not the outage of five minutes before it, and nothing of the market without a snapshot.
    assert figures_of(two_hours.production).channel(BOOKS).proven_seconds == 55 * MINUTE


def test_openings_are_counted_by_how_long_their_books_were_lacking(two_hours):
    report = report_now(two_hours.production)
    assert sum(report.total.openings.values()) == 1  # the long market opened before the record began
    assert 30_000 <= at_most_ms(report.total.openings, 0.99) <= 30_000 * 1.19
    assert "Markets that opened: 1; of 100 of them, 99 had their first book within 3" in as_text(report)


def test_an_opening_is_as_long_as_it_is_though_an_hour_ends_in_it(coverage):
    put_market(coverage.production, "KX", opens=59.75, closes=100)
    coverage.gatherers[0].runs(0, 120).listens_to_all().listens(BOOKS, "KX", since=60.5)
    coverage.judge(121)
    openings = figures_of(coverage.production).openings
    assert 45_000 <= at_most_ms(openings, 0.99) <= 45_000 * 1.19


def test_a_market_whose_hours_are_not_judged_is_no_quick_opening(two_hours):
    put_market(two_hours.production, "KX-NEW", opens=50, closes=90)
    assert sum(figures_of(two_hours.production).openings.values()) == 1


def test_an_unexplained_difference_is_an_outage_and_is_said(two_hours):
    execute(two_hours.production, FINDING, ("KX-LONG", at(100), at(101), False))
    execute(two_hours.production, FINDING, ("KX-LONG", at(16), at(17), True))
    two_hours.judge(121)
    report = report_now(two_hours.production)
    assert (report.total.audit.unexplained, report.total.audit.explained) == (1, 1)
    assert report.total.channel(BOOKS).outage_seconds == 6 * MINUTE
    assert "nothing explains: 1, counted as outages" in as_text(report)


def test_a_difference_that_lasts_is_counted_once(two_hours):
    execute(two_hours.production, FINDING, ("KX-LONG", at(-24 * 60), at(7 * 24 * 60), False))
    two_hours.judge(121)
    report = report_now(two_hours.production, days=3)
    assert len(report.days) == 3
    assert (report.total.audit.unexplained, report.total.audit.counted_as_outages) == (0, 1)


def test_outages_are_listed_with_their_causes(two_hours):
    longest, next_one = sorted(figures_of(two_hours.production).holes, key=lambda hole: -hole.seconds)
    assert (longest.channel, longest.since, longest.until, longest.ticker) == (BOOKS, at(15), at(20), "KX-LONG")
    assert longest.causes == ["a: gap: disconnected", "b: gap: disconnected"]
    assert (next_one.channel, next_one.markets, next_one.seconds) == (TRADES, 0, 120)


def test_markets_that_lack_the_same_time_are_one_outage(coverage):
    for number in range(30):
        put_market(coverage.production, f"KX-{number}")
    coverage.gatherers[0].runs(0, 60).listens_to_all(tickers=[f"KX-{number}" for number in range(30)]).misses(10, 12)
    coverage.judge(61)
    (outage,) = figures_of(coverage.production).holes
    assert (outage.markets, outage.seconds) == (30, 120)


def test_time_that_is_not_judged_is_pending_and_in_no_share(two_hours):
    figures = figures_of(two_hours.production)
    # From noon to midnight, without the two hours that are known.
    assert (figures.known_seconds, figures.pending_seconds) == (7200, 10 * 3600)
    assert "nothing is claimed: it is not judged yet" in as_text(report_now(two_hours.production))


def test_ages_are_upper_bounds_of_a_sample(two_hours):
    for number, age_ms in enumerate([2, 3, 5, 9, 40, 41, 42, 43, 44, 900]):
        values = {"age": timedelta(milliseconds=age_ms), "id": f"trade-{number}"}
        # In the second from which on the minute's rows are looked at, or later.
        put(two_hours.production, "trades", TRADE, values | {"at": at(number) + timedelta(seconds=59.5)})
    with connected(two_hours.production) as connection:
        (received,) = [each for each in day_ages(asked_over(connection), DAY) if each.stage == RECEIVED]
    assert (received.table, received.rows) == ("trades", 10)
    assert 40 <= received.at_most_ms(0.5) <= 40 * 1.19
    assert 900 <= received.at_most_ms(0.99) <= 900 * 1.19


def test_a_percentile_is_never_better_than_the_truth():
    chance = random.Random(5)
    ages_ms = sorted(chance.lognormvariate(3, 2) for _ in range(1_000))
    counts = {}
    for age_ms in ages_ms:
        number = next(each for each in range(-200, 200) if 2 ** (each / 4) >= age_ms)
        counts[number] = counts.get(number, 0) + 1
    figures = AgeFigures(table="trades", stage="", counts=counts)
    for share in (0.5, 0.95, 0.99, 1):
        exact_ms = ages_ms[int(share * 1_000) - 1]
        assert exact_ms <= figures.at_most_ms(share) <= exact_ms * 1.2


def test_an_outage_over_midnight_is_one():
    ends, goes_on = [
        HoleFigures(channel=BOOKS, ticker="KX", since=DAY + since, until=DAY + until, markets=markets, causes=[cause])
        for since, until, markets, cause in (
            (timedelta(hours=23), timedelta(hours=24), 3, "a: gap"),
            (timedelta(hours=24), timedelta(hours=25), 2, "b: gap"),
        )
    ]
    (whole,) = joined([goes_on, ends])
    assert (whole.seconds, whole.markets, whole.causes) == (7200, 3, ["a: gap", "b: gap"])


def test_the_report_begins_in_plain_words(two_hours):
    text = as_text(report_now(two_hours.production))
    share = per_cent(1 - 330 / 9000)
    assert text.splitlines()[:2] == [
        "Quality of the record, 1 November 2026",
        f"Order books: {share} % of market-seconds are recorded; the target of 99.990 % is missed.",
    ]
    assert "Gatherers: one was enough in 1 hour, two were needed in 1 hour." in text
    assert "a alone would have missed 11 min of order books." in text
    assert "that nothing explains: none." in text


def test_the_page_shows_what_is_said_and_escapes_what_is_not_ours(two_hours):
    two_hours.gatherers[2].name = "<b>"
    two_hours.gatherers[2].runs(0, 120).listens_to_all()
    two_hours.judge(121)
    report = report_now(two_hours.production)
    page = as_html(report, at(121))
    assert "&lt;b&gt;" in page
    assert "<b>" not in page
    assert all(
        sentence.replace("'", "&#x27;") in page.replace("&lt;", "<").replace("&gt;", ">")
        for sentence in sentences(report)
    )


def test_without_any_record_there_is_no_report(production):
    assert report_now(production) is None
