from app.subscriptions.router import ExchangeClock

SECOND_US = 1_000_000


def clock(*ages):
    made = ExchangeClock()
    for age in ages:
        made.measure(*age)
    return made


def test_the_youngest_message_tells_what_the_clocks_differ_by():
    ahead = clock((2_030_000,), (2_001_000,), (9_000_000,))
    assert (ahead.ahead_us, ahead.behind_us) == (2_001_000, 0)
    behind = clock((-1_970_000,), (-1_999_000,))
    assert (behind.ahead_us, behind.behind_us) == (0, 1_999_000)


def test_of_whole_seconds_each_side_takes_what_claims_less():
    whole = clock((300_000, SECOND_US))
    assert (whole.ahead_us, whole.behind_us) == (300_000, 700_000)


def test_without_any_message_nothing_is_known():
    assert (clock().ahead_us, clock().behind_us) == (0, 0)


def test_a_clock_that_was_set_right_is_known_anew_after_two_periods():
    made = clock((-5_000_000,))
    made.start_period()
    made.measure(1_000)
    assert made.behind_us == 5_000_000
    made.start_period()
    assert made.behind_us == 0
    made.start_period()
    made.start_period()
    assert made.ahead_us == 1_000
