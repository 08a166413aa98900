"""A gatherer that two productions read drops only what both have, whichever of them is ahead."""

from datetime import UTC, datetime, timedelta

import pytest

from app.merge.position import BEGINNING, Shard
from app.merge.source import GathererTable, name_of
from app.postgres.connection import connected
from app.storage.confirmation import deduplicator_has_it
from app.storage.retention import maintain
from app.storage.tables import ORDERBOOK_DELTAS
from app.storage.writer import CopyWriter
from tests.cli_settings import invoke
from tests.gatherers import execute
from tests.storage import rows

NOON = datetime.fromtimestamp(rows.NOON_US / 1e6, UTC)
PLENTY_BYTES = 10**12
THE_ONE, STAGING = "71/kalshi_production", "72/staging"


def delta(hour):
    return rows.delta(clock=hour, at_us=rows.NOON_US + hour * 3_600_000_000)


@pytest.fixture
def gatherer(timeseries):
    writer = CopyWriter(ORDERBOOK_DELTAS, timeseries)
    for hour in range(3):
        writer.write([delta(hour)])
    writer.close()
    return timeseries


@pytest.fixture
def source(gatherer):
    """A function from a production's name to how it reads the gatherer."""
    made = []

    def of(production):
        made.append(GathererTable("a", gatherer, ORDERBOOK_DELTAS, Shard(0, 1), 1_000_000, lambda: production))
        return made[-1]

    yield of
    for each in made:
        each.close()


def drop_what_is_old(gatherer):
    """How many hours are left, and how many of them wait for somebody."""
    with connected(gatherer) as connection:
        done = maintain(connection, deduplicator_has_it, PLENTY_BYTES, NOON + timedelta(days=400))
    return execute(gatherer, "SELECT count(*) FROM orderbook_deltas")[0][0], done.unconfirmed


def last_id(gatherer):
    return execute(gatherer, "SELECT max(ingest_id) FROM orderbook_deltas")[0][0]


def test_staging_that_is_ahead_lets_nothing_be_dropped_that_production_has_not_read(gatherer, source):
    the_one, staging = source(THE_ONE), source(STAGING)
    the_one.pull(BEGINNING)
    assert staging.confirm(staging.pull(BEGINNING).through)
    assert drop_what_is_old(gatherer) == (3, 3)
    assert the_one.confirm(the_one.pull(BEGINNING).through)
    assert drop_what_is_old(gatherer) == (0, 0)


def test_what_a_production_that_is_behind_confirms_takes_nothing_from_the_other(gatherer, source):
    the_one, staging = source(THE_ONE), source(STAGING)
    the_one.confirm(the_one.pull(BEGINNING).through)
    staging.pull(BEGINNING)
    confirmed = execute(gatherer, "SELECT production, ingest_id FROM confirmations ORDER BY 1")
    assert confirmed == [(THE_ONE, last_id(gatherer)), (STAGING, 0)]
    assert drop_what_is_old(gatherer) == (3, 3)


def test_a_production_that_is_given_up_is_waited_for_no_more(gatherer, source):
    the_one, staging = source(THE_ONE), source(STAGING)
    the_one.confirm(the_one.pull(BEGINNING).through)
    staging.pull(BEGINNING)
    settings = {"KALSHI_TS_DSN": gatherer.reveal()}
    assert f"{STAGING} (last confirmation at" in invoke(settings, "maintain").output
    assert STAGING in invoke(settings, "confirmations").output
    assert invoke(settings, "confirmations", "--forget", "nobody").exit_code == 1
    assert STAGING not in invoke(settings, "confirmations", "--forget", STAGING).output.splitlines()[1:]
    assert drop_what_is_old(gatherer) == (0, 0)


def test_a_production_that_comes_after_something_was_dropped_is_told(gatherer, source):
    the_one, staging = source(THE_ONE), source(STAGING)
    the_one.confirm(the_one.pull(BEGINNING).through)
    assert drop_what_is_old(gatherer) == (0, 0)
    assert staging.pull(BEGINNING).lost_before is not None
    assert source("73/another").pull(BEGINNING).lost_before is not None


def test_a_production_that_has_all_it_was_told_is_safe_lost_nothing_by_the_other(gatherer, source):
    the_one, staging = source(THE_ONE), source(STAGING)
    for each in (the_one, staging):
        each.confirm(each.pull(BEGINNING).through)
    assert drop_what_is_old(gatherer) == (0, 0)
    CopyWriter(ORDERBOOK_DELTAS, gatherer).write([delta(5)])
    staging.confirm(staging.pull(BEGINNING).through)
    query = "SELECT ingest_id FROM confirmations WHERE production = %s"
    (((of_the_one,),), ((of_staging,),)) = (execute(gatherer, query, (name,)) for name in (THE_ONE, STAGING))
    assert of_the_one < of_staging
    position = the_one.pull(BEGINNING).through._replace(ingest_id=of_the_one)
    assert the_one.pull(position).lost_before is None


def test_what_was_confirmed_before_productions_had_names_is_the_first_one_s_that_goes_on(gatherer, source):
    confirmed = "INSERT INTO confirmations (table_name, ingest_id) VALUES ('orderbook_deltas', %s)"
    execute(gatherer, confirmed, (last_id(gatherer),))
    staging, the_one = source(STAGING), source(THE_ONE)
    through = staging.pull(BEGINNING).through
    assert drop_what_is_old(gatherer) == (3, 3)
    assert the_one.confirm(through)
    confirmed = execute(gatherer, "SELECT production, ingest_id FROM confirmations ORDER BY 1")
    assert confirmed == [(THE_ONE, last_id(gatherer)), (STAGING, 0)]


def test_two_databases_of_one_server_have_two_names(production, timeseries):
    assert name_of(production)() != name_of(timeseries)()
    assert name_of(production)() == name_of(production)()
