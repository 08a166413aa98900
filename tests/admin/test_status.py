"""Whether everything is all right: the same in the API, on the page and on the command line."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from tests.admin.seeded import GATHERERS, TICKER
from tests.gatherers import execute
from tests.processes import run

HEALTHY = """
    DELETE FROM quarantine;
    DELETE FROM audit_findings;
    DELETE FROM coverage;
    DELETE FROM coverage_market_changes;
    UPDATE sync_cursors SET failing_since = NULL, failure = NULL;
    UPDATE gatherer_runs SET recorded_until = now() + INTERVAL '1 hour', delivered_until = now() + INTERVAL '1 hour';
    UPDATE coverage_hours SET judged_changes = 0;
    INSERT INTO gatherer_subscriptions (gatherer, run_id, started_at, conn, channel, ticker)
    SELECT gatherer, 1, now() - INTERVAL '1 day', 8, 'orderbook_delta', ticker
    FROM gatherer_runs CROSS JOIN (SELECT ticker FROM markets ORDER BY ticker LIMIT 200) AS recorded;
"""
HOLE = """
    INSERT INTO coverage (hour, channel, ticker, state, holes, repaired, repaired_by)
    SELECT date_trunc('hour', %(since)s::TIMESTAMPTZ), %(channel)s, %(ticker)s, 'hole',
        tstzmultirange(tstzrange(%(since)s, %(until)s)), '{}', '{}'
"""
SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)
BEGAN = "SELECT min(started_at), max(known_until) FROM gatherer_runs, coverage_hours"


@pytest.fixture
def healthy(changing):
    """A platform of which all is well, with 200 of 250 markets recorded."""
    execute(changing.dsn, HEALTHY)
    return changing


def hole(api, since, length, ticker=TICKER, channel="orderbook_delta"):
    execute(api.dsn, HOLE, {"since": since, "until": since + length, "ticker": ticker, "channel": channel})


def opens(api, at):
    """The market's opening is moved, and that is judged."""
    execute(api.dsn, "UPDATE markets SET open_time = %s WHERE ticker = %s", (at, TICKER))
    execute(api.dsn, "DELETE FROM coverage_market_changes")
    execute(
        api.dsn,
        "UPDATE coverage_hours AS h SET judged_changes = c.changes FROM coverage_changes AS c WHERE c.hour = h.hour",
    )


def moment_of(api, name):
    return datetime.fromisoformat(api.json("/admin/status")[name])


def kinds(api):
    rows = execute(api.dsn, "SELECT kind, since, until FROM coverage_holes ORDER BY since")
    return [(kind, until - since) for kind, since, until in rows]


def asked_on_the_command_line(api, *options):
    return run("-m", "app", "status", *options, KALSHI_PRODUCTION_DSN=api.dsn.reveal())


def test_a_healthy_platform_is_green_everywhere(healthy):
    found = healthy.json("/admin/status")
    assert found["sentence"].startswith("Recording 200 markets · 3 of 3 gatherers · complete for 2")
    assert (found["level"], found["problem"], found["markets"]) == ("green", None, 200)
    assert (found["gatherers"], found["gatherers_recording"]) == (3, 3)
    assert "All is well" in healthy.get("/parts/headline").text
    done = asked_on_the_command_line(healthy)
    assert (done.returncode, done.stdout.split(" · ")[0]) == (0, "green: Recording 200 markets")


def test_what_is_wrong_is_said_everywhere_with_what_mends_it(healthy):
    execute(healthy.dsn, "UPDATE gatherer_runs SET ended_at = now() WHERE gatherer = %s", (GATHERERS[2],))
    found = healthy.json("/admin/status")
    assert (found["level"], found["gatherers_recording"]) == ("amber", 2)
    part = healthy.get("/parts/headline").text
    assert found["problem"] in part
    assert "<code>systemctl status kalshi-gatherer</code>" in part
    done = asked_on_the_command_line(healthy)
    assert done.returncode == 1
    assert done.stdout.splitlines()[1:] == [found["problem"], f"Fix: {found['remedy']}"]


def test_programs_are_told_by_the_command_what_the_api_answers(healthy):
    told = json.loads(asked_on_the_command_line(healthy, "--json").stdout)
    answered = healthy.json("/admin/status")
    assert told.keys() == answered.keys()
    assert told["complete_since"] == answered["complete_since"]


def test_a_record_of_which_nothing_is_there_yet_is_no_error(production):
    done = run("-m", "app", "status", KALSHI_PRODUCTION_DSN=production.reveal())
    assert done.returncode == 1
    assert done.stdout.startswith("amber: Not recording · 0 of 0 gatherers · nothing proven yet · nothing merged yet")


def test_complete_is_the_time_since_the_last_outage_and_openings_are_named(healthy):
    ((_, known_until),) = execute(healthy.dsn, BEGAN)
    hole(healthy, known_until - 5 * HOUR, 2 * SECOND)
    assert moment_of(healthy, "complete_since") == known_until - 5 * HOUR + 2 * SECOND
    opens(healthy, known_until - 3 * HOUR)
    hole(healthy, known_until - 3 * HOUR, SECOND)
    assert kinds(healthy) == [("outage", 2 * SECOND), ("opening", SECOND)]
    sentence = json.loads(asked_on_the_command_line(healthy, "--json").stdout)["sentence"]
    assert "complete for 4 h 59 min, openings apart" in sentence


def test_a_market_that_opens_and_is_not_heard_for_minutes_is_an_outage(healthy):
    at = datetime.now(UTC).replace(minute=10, second=0, microsecond=0) - 4 * HOUR
    opens(healthy, at)
    hole(healthy, at, 61 * SECOND)
    assert kinds(healthy) == [("outage", 61 * SECOND)]


def test_an_opening_may_go_on_after_the_hour_s_end(healthy):
    at = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - 4 * HOUR
    opens(healthy, at - 20 * SECOND)
    hole(healthy, at - 20 * SECOND, 20 * SECOND)
    hole(healthy, at, 10 * SECOND)
    assert kinds(healthy) == [("opening", 20 * SECOND), ("opening", 10 * SECOND)]


def test_before_the_record_began_there_is_no_outage(healthy):
    first = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - 5 * HOUR
    began = first + 900 * SECOND
    execute(healthy.dsn, "UPDATE gatherer_runs SET started_at = %s", (began,))
    execute(healthy.dsn, "DELETE FROM coverage_hours WHERE hour < %s", (first,))
    # The market's first snapshot comes four seconds after the first gatherer's start.
    hole(healthy, first, 904 * SECOND)
    hole(healthy, first, 901 * SECOND, ticker="", channel="trade")
    hole(healthy, first + 2000 * SECOND, SECOND, ticker="", channel="ticker")
    assert kinds(healthy) == [
        ("unrecorded", 904 * SECOND),
        ("unrecorded", 901 * SECOND),
        ("outage", SECOND),
    ]


def test_a_market_that_is_not_recorded_in_the_first_hour_at_all_is_an_outage_from_the_beginning_on(healthy):
    first = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - 5 * HOUR
    execute(healthy.dsn, "UPDATE gatherer_runs SET started_at = %s", (first + 900 * SECOND,))
    hole(healthy, first, HOUR)
    assert kinds(healthy) == [("unrecorded", 900 * SECOND), ("outage", 2700 * SECOND)]


def test_a_market_of_which_something_was_learnt_since_ends_what_is_claimed(healthy):
    ((_, known_until),) = execute(healthy.dsn, BEGAN)
    late = known_until - timedelta(minutes=1)
    hour = late.replace(minute=0, second=0, microsecond=0)
    execute(
        healthy.dsn,
        "INSERT INTO coverage_market_changes (ticker, since, until) VALUES (%s, %s, %s)",
        (TICKER, late, late + HOUR),
    )
    execute(
        healthy.dsn, "UPDATE coverage_changes SET changes = 1, changed_since = 'infinity' WHERE hour >= %s", (hour,)
    )
    assert moment_of(healthy, "proven_until") == late


def test_the_page_of_a_cell_says_which_markets_and_why_and_who_had_them_again(healthy):
    at = datetime.now(UTC).replace(minute=10, second=0, microsecond=0) - 3 * HOUR
    hole(healthy, at, 2 * SECOND)
    execute(healthy.dsn, "UPDATE coverage SET repaired_by = %s", ([GATHERERS[1]],))
    execute(
        healthy.dsn,
        "INSERT INTO gatherer_gaps (gatherer, run_id, number, conn, started_at, ended_at, sid, markets, channel, cause) "
        "VALUES (%s, 1, 9, 8, %s, %s, 3, 1, 'orderbook_delta', 'sequence')",
        (GATHERERS[0], at, at + 2 * SECOND),
    )
    execute(healthy.dsn, "DELETE FROM gatherer_subscriptions WHERE gatherer = %s", (GATHERERS[1],))
    ended = "UPDATE gatherer_runs SET started_at = %s, ended_at = %s, recorded_until = %s WHERE gatherer = %s"
    execute(healthy.dsn, ended, (at - 2 * HOUR, at - HOUR, at - HOUR, GATHERERS[2]))
    page = healthy.get("/coverage", query_string={"hour": f"{at:%Y-%m-%dT%H}:00Z", "channel": "orderbook_delta"}).text
    assert TICKER in page
    assert "2.0 s" in page
    assert "gatherer-1a: gap: sequence; gatherer-1b: not subscribed; gatherer-1c: not running" in page
    assert f"{at:%H}:10:00.000" in page
    assert 'data-label="Known again by">gatherer-1b' in page
    assert f"/coverage?hour={at:%Y-%m-%dT%H}:00Z&amp;channel=orderbook_delta" in healthy.get("/parts/coverage").text


def test_a_cell_that_is_none_is_refused_with_the_reason(api):
    for query in ({}, {"hour": "soon", "channel": "trade"}, {"hour": "2026-11-21T15:00Z", "channel": "nope"}):
        assert api.get("/coverage", query_string=query).status_code == 400
    assert "Nothing is known" in api.get("/coverage?hour=2026-11-21T15:20&channel=trade").text
