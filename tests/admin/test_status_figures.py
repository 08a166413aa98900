"""What stands on the status page, worked out from what is known."""

import pytest

from admin.pages.panels import MessageRates
from admin.pages.views import cents, coded, duration, grouped, number, size
from admin.web.cache import TtlCache


def test_a_rate_is_the_growth_since_the_last_look_and_unknown_at_first_and_after_a_restart():
    now = [100.0]
    rates = MessageRates(clock=lambda: now[0])
    assert rates.of("a", 1_000) is None
    now[0] += 5
    assert rates.of("a", 2_000) == 200
    now[0] += 5
    assert rates.of("a", 10) is None
    now[0] += 1
    assert rates.of("a", 20) == 10


def test_what_many_ask_for_is_looked_up_once_in_a_while():
    now, asked = [0.0], []
    remembered = TtlCache(lambda: asked.append(1) or len(asked), 2, clock=lambda: now[0])
    assert [remembered(), remembered()] == [1, 1]
    now[0] = 2
    assert remembered() == 2


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.25, "0.2 s"), (59, "59 s"), (119, "119 s"), (120, "2 min"), (7_200, "2 h"), (None, "\u2013")],
)
def test_durations_have_the_unit_that_suits_them(seconds, words):
    assert duration(seconds) == words


def test_numbers_are_written_for_people():
    assert [size(999), size(1_500), size(150_000_000_000), size(None)] == ["999 B", "1.5 kB", "150 GB", "\u2013"]
    assert number(1_234_567) == "1\u202f234\u202f567"
    assert grouped("55400.00") == "55\u202f400.00"
    assert [cents(430_000), cents(435_000), cents(1), cents(1_000_000)] == ["43¢", "43.5¢", "0.0001¢", "100¢"]


def test_code_in_words_is_marked_and_nothing_else_becomes_markup():
    assert coded("give `next` <b>") == "give <code>next</code> &lt;b&gt;"
