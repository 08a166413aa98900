from hypothesis import given
from hypothesis import strategies as st

from app.kalshi.rest_client import ticker_batches

TICKER = st.text("KX-é", min_size=1, max_size=200)


@given(st.lists(TICKER, max_size=400))
def test_every_ticker_is_in_one_batch_that_a_call_can_carry(tickers):
    batches = list(ticker_batches(tickers))
    assert [ticker for batch in batches for ticker in batch] == tickers
    assert all(1 <= len(batch) <= 100 for batch in batches)
    assert all(sum(len(f"&tickers={ticker}".encode()) for ticker in batch) <= 7_000 for batch in batches)


def test_short_tickers_go_by_the_hundred():
    assert [len(batch) for batch in ticker_batches(["KXAAAA-26NOV21-T50"] * 250)] == [100, 100, 50]
