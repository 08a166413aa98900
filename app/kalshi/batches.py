from collections.abc import Iterable, Iterator

BOOKS_PER_CALL = 100
CANDLES_PER_CALL = 5_000
# A content delivery network in between refuses addresses above 8,192 bytes.
QUERY_BYTES = 7_000
PARAMETER_BYTES = len("&tickers=")


def ticker_batches(tickers: Iterable[str]) -> Iterator[list[str]]:
    """As many as one call may name, and as fit into its address."""
    batch: list[str] = []
    query_bytes = 0
    for ticker in tickers:
        more_bytes = PARAMETER_BYTES + len(ticker.encode())
        if len(batch) == BOOKS_PER_CALL or (batch and query_bytes + more_bytes > QUERY_BYTES):
            yield batch
            batch, query_bytes = [], 0
        batch.append(ticker)
        query_bytes += more_bytes
    if batch:
        yield batch


def candle_spans(start_seconds: int, end_seconds: int, period_seconds: int) -> Iterator[tuple[int, int]]:
    """Consecutive spans, both ends included, of as many periods as one call may ask for."""
    span_seconds = CANDLES_PER_CALL * period_seconds
    for start in range(start_seconds, end_seconds + 1, span_seconds):
        yield start, min(start + span_seconds - 1, end_seconds)
