from app.polling.direct_sink import DirectSink
from app.polling.last_run import last_recorded_us
from app.store.journal_tables import RUNS
from tests.store.rows import NOON_US


def test_it_is_when_the_runs_before_this_one_stopped_recording(timeseries, connection):
    assert last_recorded_us(connection, NOON_US) is None
    sink = DirectSink(timeseries)
    hour_us = 3_600_000_000
    starts = [NOON_US, NOON_US + hour_us, NOON_US + 2 * hour_us]
    sink.put(RUNS, [(start_us, "gatherer", start_us, start_us + 123_456_789, None) for start_us in starts])
    sink.close()
    connection.rollback()
    assert last_recorded_us(connection, starts[2]) == starts[1] + 123_456_789
