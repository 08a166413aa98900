import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.kalshi.errors import RequestRefusedError
from app.markets.sync import MOST_REFUSALS, read_in_halves

TICKERS = [f"KXA-{number}" for number in range(100)]


class Exchange:
    """Knows some markets, and refuses a request that names a bad one."""

    def __init__(self, known, bad):
        self.known, self.bad, self.asked = set(known), set(bad), 0

    def __call__(self, tickers):
        self.asked += 1
        if self.bad & set(tickers):
            raise RequestRefusedError("400")
        return self.known & set(tickers)


@given(st.sets(st.sampled_from(TICKERS)), st.sets(st.sampled_from(TICKERS[10:]), max_size=3))
def test_all_but_the_refused_ones_are_answered_for(known, bad):
    exchange = Exchange(known, bad)
    answered = read_in_halves(exchange, TICKERS)
    assert answered.refused == bad
    assert answered.found == known - bad
    assert answered.missing(TICKERS) == [ticker for ticker in TICKERS if ticker not in known | bad]


def test_one_bad_name_costs_few_questions():
    exchange = Exchange(TICKERS, TICKERS[37:38])
    assert read_in_halves(exchange, TICKERS).found == set(TICKERS) - {TICKERS[37]}
    assert exchange.asked <= 15


@pytest.mark.parametrize(("tickers", "questions"), [(TICKERS, MOST_REFUSALS), (TICKERS[:1], 1)])
def test_an_exchange_that_refuses_everything_is_soon_left_alone(tickers, questions):
    exchange = Exchange(TICKERS, TICKERS)
    with pytest.raises(RequestRefusedError):
        read_in_halves(exchange, tickers)
    assert exchange.asked == questions
