from app.coverage.hours import judge_next_hour
from app.postgres.connection import claimed, connected
from app.replicate.journal import JournalFollower
from tests.coverage.conftest import AT_ONCE, PATIENCE
from tests.gatherers import at, execute, put_market

DAY = 24 * 60


def market(coverage, ticker="KXTEST-1"):
    """States and holes of every hour and channel of a market, in minutes after noon."""
    query = """
        SELECT hour, channel, state,
            (SELECT array_agg(extract(epoch FROM bound - %(noon)s)::INTEGER / 60 ORDER BY bound)
             FROM unnest(holes) AS r, LATERAL (VALUES (lower(r)), (upper(r))) AS b (bound)),
            repaired_by
        FROM readable.coverage WHERE ticker = %(ticker)s
    """
    rows = execute(coverage.production, query, {"noon": at(0), "ticker": ticker})
    return {(int((hour - at(0)).total_seconds()) // 60, channel): tuple(rest) for hour, channel, *rest in rows}


def books(coverage, ticker="KXTEST-1"):
    return {hour: row for (hour, channel), row in market(coverage, ticker).items() if channel == "orderbook_delta"}


def exceptions(coverage):
    return execute(coverage.production, "SELECT hour, channel, ticker, state FROM coverage")


def test_of_three_gatherers_the_hole_is_exactly_what_none_of_them_heard(coverage):
    put_market(coverage.production, "KXTEST-1")
    put_market(coverage.production, "KXTEST-2")
    a, b, c = coverage.gatherers
    for gatherer in coverage.gatherers:
        gatherer.runs(0, 70).listens_to_all(tickers=["KXTEST-1", "KXTEST-2"])
    a.misses(10, 40)
    b.misses(20, 62)
    c.misses(5, 25).misses(30, 65)
    coverage.judge(71)
    assert books(coverage) == {0: ("hole", [20, 25, 30, 40], ["a", "c"]), 60: ("pending", None, [])}
    assert books(coverage) == books(coverage, "KXTEST-2")
    assert market(coverage)[0, "trade"] == ("complete", None, [])


def test_what_production_lost_and_no_gatherer_has_any_more_is_a_hole_though_it_was_heard(coverage):
    put_market(coverage.production, "KXTEST-1")
    for gatherer in coverage.gatherers:
        gatherer.runs(0, 60).listens_to_all(tickers=["KXTEST-1"])
    coverage.judge(61)
    assert books(coverage)[0] == ("complete", None, [])
    lose = "INSERT INTO gatherer_losses (gatherer, table_name, started_at, ended_at) VALUES (%s, %s, %s, %s)"
    for name, since, until in (("a", -500, 20), ("b", 10, 30), ("c", 5, 40)):
        execute(coverage.production, lose, (name, "trades", at(since), at(until)))
        # A book that was lost is known again hours later.
        execute(coverage.production, lose, (name, "orderbook_deltas", at(-500), at(until - 360)))
    coverage.judge(61)
    assert books(coverage)[0] == ("hole", [0, 20], ["a"])
    assert market(coverage)[0, "trade"] == ("hole", [10, 20], [])


def test_what_is_complete_takes_no_rows(coverage):
    for number in range(20):
        put_market(coverage.production, f"KXTEST-{number}")
    for gatherer in coverage.gatherers:
        gatherer.runs(0, 120).listens_to_all(tickers=[f"KXTEST-{number}" for number in range(20)])
    coverage.gatherers[0].misses_all(10, 70)
    coverage.gatherers[1].misses_all(15, 40)
    coverage.judge(121)
    assert exceptions(coverage) == []
    assert books(coverage)[0] == ("complete", None, [])


def test_a_market_s_life_alone_counts(coverage):
    put_market(coverage.production, "KXTEST-1", opens=10, closes=100)
    put_market(coverage.production, "KXTEST-2", opens=90)
    gatherer = coverage.gatherers[0]
    gatherer.runs(0, 180).listens_to_all()
    gatherer.listens("orderbook_delta", "KXTEST-1", since=12, until=110)
    coverage.judge(181)
    assert books(coverage) == {0: ("hole", [10, 12], ["a"]), 60: ("complete", None, [])}
    assert books(coverage, "KXTEST-2") == {60: ("hole", [90, 120], []), 120: ("hole", [120, 180], [])}


def silent_at(coverage, ticker):
    """The end of its hole, in seconds after noon."""
    query = "SELECT max(extract(epoch FROM upper(holes) - %s))::INTEGER FROM readable.coverage WHERE ticker = %s"
    return execute(coverage.production, query, (at(0), ticker))[0][0]


def test_the_second_in_which_it_closes_counts_too_unless_that_was_planned_for_the_hour(coverage):
    put_market(coverage.production, "KXTEST-1", closes=30)
    put_market(coverage.production, "KXTEST-2", closes=60)
    put_market(coverage.production, "KXTEST-3", closes=30)
    put_market(coverage.production, "KXTEST-4", closes=30)
    gatherer = coverage.gatherers[0]
    gatherer.runs(0, 180).listens_to_all(tickers=["KXTEST-1", "KXTEST-2"]).misses(20, 70)
    gatherer.listens("orderbook_delta", "KXTEST-3", since=0, until=30, conn=9)
    gatherer.listens("orderbook_delta", "KXTEST-4", since=0, until=30, conn=10).misses(10, 15, conn=10)
    coverage.judge(181)
    assert [silent_at(coverage, f"KXTEST-{number}") for number in (1, 2)] == [30 * 60 + 1, 60 * 60]
    assert books(coverage, "KXTEST-3") == {0: ("complete", None, [])}
    assert books(coverage, "KXTEST-4")[0][:2] == ("hole", [10, 15])


def test_what_nobody_heard_of_the_whole_exchange_is_one_row(coverage):
    put_market(coverage.production, "KXTEST-1", opens=20)
    gatherer = coverage.gatherers[0]
    gatherer.runs(0, 60).listens_to_all(tickers=["KXTEST-1"])
    gatherer.misses(10, 30, conn=3, sid=4, channel="trade").misses(30, 40, conn=1, sid=4, channel="trade")
    coverage.judge(61)
    assert exceptions(coverage) == [(at(0), "trade", "", "hole")]
    assert market(coverage)[0, "trade"] == ("hole", [20, 30], [])
    assert market(coverage)[0, "ticker"] == ("complete", None, [])


def test_an_open_gap_lasts_until_further_notice(coverage):
    put_market(coverage.production, "KXTEST-1")
    gatherer = coverage.gatherers[0]
    gatherer.runs(0, 50).listens_to_all(tickers=["KXTEST-1"]).misses(20, None, number=1)
    coverage.judge(51)
    assert books(coverage) == {0: ("hole", [20, 50], [])}
    gatherer.runs(0, 59).misses(20, 30, number=1)
    coverage.judge(60)
    assert books(coverage) == {0: ("hole", [20, 30], ["a"])}


def test_after_the_end_of_a_run_nobody_hears_until_the_next(coverage):
    put_market(coverage.production, "KXTEST-1")
    gatherer = coverage.gatherers[0]
    gatherer.runs(0, 20).listens("orderbook_delta", "KXTEST-1")
    gatherer.runs(25, 60, run_id=2).listens("orderbook_delta", "KXTEST-1", since=26, run_id=2)
    coverage.judge(61)
    assert books(coverage) == {0: ("hole", [20, 26], ["a"])}


def test_what_comes_late_is_judged_again_and_nothing_else(coverage):
    put_market(coverage.production, "KXTEST-1")
    a, b, _ = coverage.gatherers
    a.runs(0, 240).listens_to_all(tickers=["KXTEST-1"]).misses(70, 80).misses(130, 140)
    assert coverage.judge(241) == [at(180), at(120), at(60), at(0)]
    assert coverage.judge(241) == []
    assert books(coverage)[60] == ("hole", [70, 80], ["a"])
    b.runs(65, 100, ended=100).listens("orderbook_delta", "KXTEST-1", since=66)
    assert coverage.judge(241) == [at(60)]
    assert books(coverage)[60] == ("complete", None, [])
    assert books(coverage)[120] == ("hole", [130, 140], ["a"])


def test_a_market_that_is_learnt_of_late_is_judged_then(coverage):
    coverage.gatherers[0].runs(0, 180).listens_to_all()
    coverage.judge(181)
    put_market(coverage.production, "KXTEST-1", opens=30, closes=70)
    assert coverage.judge(181) == [at(60), at(0)]
    assert books(coverage) == {0: ("hole", [30, 60], []), 60: ("hole", [60, 70], [])}
    put_market(coverage.production, "KXTEST-1", opens=30, closes=50)
    assert coverage.judge(181) == [at(60), at(0)]
    assert exceptions(coverage) == [(at(0), "orderbook_delta", "KXTEST-1", "hole")]
    put_market(coverage.production, "KXTEST-1", opens=30, closes=80)
    coverage.judge(181)
    assert books(coverage)[60] == ("hole", [60, 80], [])


def test_a_day_later_what_was_not_delivered_is_a_hole(coverage):
    put_market(coverage.production, "KXTEST-1")
    gatherer = coverage.gatherers[0]
    gatherer.runs(0, 30).listens_to_all(tickers=["KXTEST-1"])
    coverage.judge(DAY)
    assert books(coverage)[0] == ("hole", [30, 60], [])
    assert books(coverage)[DAY - 120] == ("hole", [DAY - 120, DAY - 60], [])


def test_what_a_gatherer_recorded_and_never_delivered_is_a_hole_when_it_is_not_waited_for_any_more(coverage):
    put_market(coverage.production, "KXTEST-1")
    coverage.gatherers[0].runs(0, 30).listens_to_all(tickers=["KXTEST-1"])
    coverage.judge(31)
    execute(coverage.production, "UPDATE gatherer_runs SET recorded_until = %s", (at(50),))
    execute(coverage.production, "UPDATE gatherer_contacts SET contacted_at = %s", (at(50),))
    with connected(coverage.production) as connection:
        while judge_next_hour(connection, at(DAY), PATIENCE, AT_ONCE).judged:
            continue
    assert books(coverage)[0] == ("hole", [30, 60], [])


def test_of_combos_their_own_channel_counts(coverage):
    put_market(coverage.production, "KXMVETEST-1")
    execute(coverage.production, "UPDATE markets SET mve_collection_ticker = 'KXMVE'")
    coverage.gatherers[0].runs(0, 60).listens_to_all().listens("multivariate_market_lifecycle", since=15, conn=5)
    coverage.judge(61)
    assert market(coverage, "KXMVETEST-1")[0, "multivariate_market_lifecycle"] == ("hole", [0, 15], [])


def test_of_several_processes_one_judges_and_another_when_that_one_is_gone(coverage):
    put_market(coverage.production, "KXTEST-1")
    coverage.gatherers[0].runs(0, 60)
    with connected(coverage.production) as other, claimed(other, "judging coverage"):
        assert coverage.judge(61) == []
    assert coverage.judge(61) == [at(0)]


def test_a_run_that_was_killed_holds_up_nothing_once_its_gatherer_runs_again(coverage):
    a, b, _ = coverage.gatherers
    a.runs(0, 5).runs(6, 9, run_id=2)
    b.runs(0, 9)
    coverage.judge(9)
    assert execute(coverage.production, "SELECT known_until FROM coverage_hours") == [(at(9),)]


def test_trades_of_one_market_that_were_fetched_close_no_hole_of_the_whole_exchange(coverage):
    put_market(coverage.production, "KXTEST-1")
    coverage.gatherers[0].runs(0, 60).listens_to_all(tickers=["KXTEST-1"])
    coverage.gatherers[0].misses(10, 30, conn=3, sid=4, channel="trade")
    repair = "INSERT INTO trade_repairs (ticker, started_at, ended_at, reason, trades, added) VALUES (%s, %s, %s, 'hole', 1, 1)"
    execute(coverage.production, repair, ("KXTEST-1", at(0), at(60)))
    execute(coverage.production, repair, ("", at(10), at(20)))
    coverage.judge(61)
    assert market(coverage)[0, "trade"] == ("hole", [20, 30], ["rest"])


def test_what_was_known_stays_known_when_a_gatherer_comes_back_that_was_not_waited_for(coverage):
    put_market(coverage.production, "KXTEST-1")
    a, b, _ = coverage.gatherers
    a.runs(0, 59).listens_to_all(tickers=["KXTEST-1"]).misses(10, 20)
    coverage.judge(59)
    b.runs(0, 40).listens("orderbook_delta", "KXTEST-1")
    JournalFollower(b.name, b.timeseries, coverage.production).round()
    a.misses(30, 31)
    JournalFollower(a.name, a.timeseries, coverage.production).round()
    with connected(coverage.production) as connection:
        kept = judge_next_hour(connection, at(59), PATIENCE, AT_ONCE)
    assert (kept.known_until, kept.judged.hour) == (at(0), at(0))
    assert execute(coverage.production, "SELECT known_until FROM coverage_hours") == [(at(59),)]
    assert books(coverage) == {0: ("hole", [10, 20, 30, 31], ["a"])}


def test_who_unsubscribes_after_the_close_misses_nothing(coverage):
    put_market(coverage.production, "KXTEST-1", closes=30)
    put_market(coverage.production, "KXTEST-2", closes=30)
    gatherer = coverage.gatherers[0].runs(0, 60).listens_to_all()
    gatherer.listens("orderbook_delta", "KXTEST-1", since=0, until=40, conn=8)
    gatherer.listens("orderbook_delta", "KXTEST-2", since=0, until=29, conn=9).misses(35, 50, conn=8)
    coverage.judge(61)
    assert books(coverage) == {0: ("complete", None, [])}
    assert books(coverage, "KXTEST-2")[0][:2] == ("hole", [29, 30])


def test_a_market_that_ended_before_its_time_has_no_hole_after_its_end(coverage):
    put_market(coverage.production, "KXTEST-1", opens=0, closes=40 * DAY)
    (a, _, _) = coverage.gatherers
    a.runs(0, 200).listens_to_all().listens("orderbook_delta", "KXTEST-1", until=90)
    coverage.judge(201)
    assert books(coverage)[60] == ("hole", [90, 120], [])
    assert books(coverage)[120] == ("hole", [120, 180], [])
    put_market(coverage.production, "KXTEST-1", opens=0, closes=90, updated=95, status="finalized")
    coverage.judge(201)
    assert books(coverage) == {0: ("complete", None, []), 60: ("complete", None, [])}
