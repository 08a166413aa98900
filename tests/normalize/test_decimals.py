import re
from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.normalize.values import (
    COUNTS_E2,
    HIGHEST_COUNT_E2,
    PRICES_E6,
    DecimalCache,
    UnfitMessageError,
    contracts,
    dollars,
    money_e6,
    scaled,
)

ANYTHING = 10**40
WRITTEN = st.from_regex(r"\A-?[0-9]{1,9}(\.[0-9]{1,9})?\Z")


def by_decimal(text, decimals):
    """What scaled does, slowly: None where the value does not fit."""
    if not re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", text, re.ASCII):
        return None
    value = Decimal(text).scaleb(decimals)
    return int(value) if value == value.to_integral_value() else None


@given(
    text=WRITTEN | st.text(alphabet="0123456789.-+e_ \N{ARABIC-INDIC DIGIT THREE}", max_size=12),
    decimals=st.sampled_from([2, 6]),
)
@example(text="-0.50", decimals=2)
@example(text="1.", decimals=2)
@example(text=".5", decimals=2)
@example(text="1_0", decimals=2)
@example(text="1e2", decimals=2)
@example(text="\N{ARABIC-INDIC DIGIT ONE}", decimals=2)
@example(text="1.000\n", decimals=2)
@example(text="0.1230000", decimals=6)
def test_a_decimal_is_taken_exactly_or_not_at_all(text, decimals):
    expected = by_decimal(text, decimals)
    if expected is None:
        with pytest.raises(UnfitMessageError):
            scaled(text, decimals, -ANYTHING, ANYTHING)
    else:
        assert scaled(text, decimals, -ANYTHING, ANYTHING) == expected


@pytest.mark.parametrize("text", ["1.0001", "-0.0001", "2", "0.1234567"])
def test_a_price_lies_between_nothing_and_one_dollar(text):
    with pytest.raises(UnfitMessageError):
        PRICES_E6[text]


def test_prices_and_counts_keep_every_digit_the_exchange_may_use():
    assert [PRICES_E6["0.123456"], PRICES_E6["1.0000"], PRICES_E6["0.0000"]] == [123_456, 1_000_000, 0]
    assert [COUNTS_E2["0.01"], COUNTS_E2["-703.36"], COUNTS_E2["5"]] == [1, -70_336, 500]
    assert money_e6("-1234567.000001") == -1_234_567_000_001


@pytest.mark.parametrize("text", ["0.001", "9" * 17])
def test_a_count_that_does_not_fit_is_refused(text):
    with pytest.raises(UnfitMessageError):
        COUNTS_E2[text]


def test_what_is_remembered_never_outgrows_its_capacity():
    remembered = DecimalCache(2, lowest=0, highest=10**6, capacity=10)
    for number in range(100):
        assert remembered[f"{number}.00"] == number * 100
        assert len(remembered) <= 10
    assert remembered["99.00"] == remembered["99.0"] == 9_900


def test_what_was_refused_is_refused_again():
    for _ in range(2):
        with pytest.raises(UnfitMessageError, match="not a decimal number"):
            PRICES_E6["a lot"]


@pytest.mark.parametrize(("price_e6", "text"), [(0, "0.000000"), (430_100, "0.430100"), (1_000_000, "1.000000")])
def test_a_price_is_written_with_all_its_decimals(price_e6, text):
    assert dollars(price_e6) == text
    assert PRICES_E6[text] == price_e6


@pytest.mark.parametrize("size_e2", [0, 1, 99, 100, 123_456, HIGHEST_COUNT_E2, -1, -150])
def test_a_count_is_read_as_it_was_written(size_e2):
    assert COUNTS_E2[contracts(size_e2)] == size_e2
