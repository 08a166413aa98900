"""Hours that somebody asked to be in the lake."""

from datetime import UTC, datetime, timedelta

import pytest

from app.errors import OperatorError
from app.lake.archive import Archive, AskedHours
from app.lake.layout import PROCESSED
from app.runtime.threads import inline
from app.storage.tables import PRODUCTION_TRADES
from tests.gatherers import execute
from tests.lake.exporting import write

NOW_HOUR = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
HOUR = timedelta(hours=1)
TRADES = PROCESSED["trades"]


@pytest.fixture
def asked(production, storage):
    return AskedHours(Archive(production, storage), inline)


def trade(happened, number=0):
    at_us = int(happened.timestamp() * 1_000_000)
    return (at_us, at_us, 100, 500_000, True, False, False, "KXTEST-1", f"trade {happened} {number}")


def parameters(start, end):
    return {"from": start.isoformat(), "to": end.isoformat(), "table": "trades"}


def verified(production):
    query = "SELECT hour, row_count, verified_at IS NOT NULL FROM exports WHERE table_name = 'trades' ORDER BY hour"
    return execute(production, query)


def test_hours_that_hold_a_moment_of_the_time_are_written_and_read_back(production, storage, asked):
    hours = [NOW_HOUR - each * HOUR for each in (3, 2, 1, 0)]
    write(production, PRODUCTION_TRADES, [trade(hour, number) for hour in hours for number in range(5)])
    progress = list(asked.export(parameters(hours[1] + HOUR / 2, hours[3])))
    assert progress == [
        "1 of 2 hours written and read back, 5 rows",
        "2 of 2 hours written and read back, 10 rows",
    ]
    assert verified(production) == [(hour, 5 if at in (1, 2) else 0, at in (1, 2)) for at, hour in enumerate(hours)]
    keys = {TRADES.object_key(hour) for hour in hours[1:3]}
    assert set(storage.keys("processed")) == keys


def test_an_hour_that_has_not_ended_can_be_had_too_and_again(production, asked):
    for rows in (1, 2):
        write(production, PRODUCTION_TRADES, [trade(NOW_HOUR, rows)])
        list(asked.export(parameters(NOW_HOUR, NOW_HOUR + HOUR)))
        assert verified(production) == [(NOW_HOUR, rows, True)]


def test_where_nothing_is_recorded_there_is_nothing_to_write(asked):
    assert list(asked.export(parameters(NOW_HOUR - HOUR, NOW_HOUR))) == []


def test_an_hour_that_another_process_writes_is_left_to_it(production, ledger, asked):
    write(production, PRODUCTION_TRADES, [trade(NOW_HOUR)])
    with (
        ledger.claimed(TRADES, NOW_HOUR),
        pytest.raises(OperatorError, match="1 of 1 hours were not exported") as failure,
    ):
        list(asked.export(parameters(NOW_HOUR, NOW_HOUR + HOUR)))
    assert "another process" in failure.value.detail
