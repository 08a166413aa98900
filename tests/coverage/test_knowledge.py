from app.coverage.evidence import GathererState, RunState, known_until_us

NOW_US = 10_000
PATIENCE_US = 600


def known_until(*gatherers):
    return known_until_us(gatherers, NOW_US, PATIENCE_US)


def running(delivered_us, recorded_us=9_990, contacted_us=9_995, started_us=1_000):
    return GathererState(contacted_us, [RunState(started_us, recorded_us, delivered_us, has_ended=False)])


def test_it_is_known_up_to_where_the_slowest_gatherer_has_delivered():
    assert known_until(running(9_980), running(9_700), running(9_990)) == 9_700


def test_a_gatherer_that_has_delivered_nothing_yet_is_waited_for_from_its_start():
    assert known_until(running(9_980), running(None, started_us=9_800)) == 9_800


def test_a_gatherer_that_delivers_late_is_waited_for_as_long_as_it_can_be_reached():
    assert known_until(running(9_980), running(2_000)) == 2_000
    assert known_until(running(9_980), running(2_000, contacted_us=9_000)) == 9_980


def test_one_that_died_with_all_delivered_is_not_waited_for():
    assert known_until(running(9_980), running(9_000, recorded_us=9_000)) == 9_980


def test_a_run_that_was_killed_is_not_waited_for_once_the_next_one_has_begun():
    killed = RunState(1_000, 9_500, 9_500, has_ended=False)
    again = RunState(9_600, 9_990, 9_985, has_ended=False)
    assert known_until(GathererState(9_995, [killed])) == 9_500
    assert known_until(GathererState(9_995, [killed, again])) == 9_985
    assert known_until(GathererState(9_995, [killed._replace(recorded_us=9_550), again])) == 9_500


def test_one_that_ended_in_good_order_is_not_waited_for():
    ended = GathererState(9_995, [RunState(1_000, 9_900, 9_900, has_ended=True)])
    assert known_until(running(9_980), ended) == 9_980


def test_where_nobody_records_what_was_not_heard_is_known_after_our_patience():
    assert known_until() == NOW_US - PATIENCE_US
