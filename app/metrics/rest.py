"""Metrics of REST: the request budget, polled books, and trades fetched for gaps."""

from collections.abc import Iterator

from prometheus_client import Counter, Gauge
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from app.kalshi.request_budget import NS_PER_SECOND
from app.kalshi.rest_transport import RestTransport
from app.polling.books import PolledBooks


class RestBudgetCollector(Collector):
    """Export the counters of the REST transport, read at the time of a scrape."""

    def __init__(self, transport: RestTransport) -> None:
        self._transport = transport

    @staticmethod
    def describe() -> list[Metric]:
        return [
            CounterMetricFamily(
                "kalshi_rest_requests_total", "Requests to the exchange, by class of the answer.", labels=["answer"]
            ),
            CounterMetricFamily("kalshi_rest_retries_total", "Requests that were repeated, after a pause."),
            GaugeMetricFamily("kalshi_rest_waiting_requests", "Requests that currently wait for the account's budget."),
            CounterMetricFamily("kalshi_rest_waits_total", "Requests that had to wait for the budget."),
            CounterMetricFamily("kalshi_rest_waited_seconds_total", "Total time that requests waited for the budget."),
        ]

    def collect(self) -> Iterator[Metric]:
        requests, *others = self.describe()
        for answer, count in self._transport.answers.items():
            requests.add_sample("kalshi_rest_requests_total", {"answer": answer}, count)
        yield requests
        budget = self._transport.budget
        figures = (self._transport.retries, budget.waiting, budget.waits, budget.waited_ns / NS_PER_SECOND)
        for family, figure in zip(others, figures, strict=True):
            # CounterMetricFamily drops the suffix "_total" from its name, which the sample has to carry.
            family.add_sample(family.name + ("_total" if family.type == "counter" else ""), {}, figure)
            yield family


POLLS = Counter(
    "kalshi_poll_requests_total", "Requests for order books that the exchange answered or refused for good."
)
BOOKS = Counter(
    "kalshi_polled_markets_total",
    "Order books requested by REST: changed ones are stored in full, unchanged ones confirmed; unfit ones go to "
    "quarantine; missing ones were not answered, refused ones not taken by the exchange.",
    ["outcome"],
)
EMPTY_BOOKS = Counter("kalshi_polled_empty_markets_total", "Order books polled that had no level on either side.")
CYCLE_SECONDS = Gauge(
    "kalshi_poll_cycle_seconds",
    "Duration of the last polling cycle of a class of books: those with two sides, with one or none, and combos.",
    ["books"],
)
CYCLE_MARKETS = Gauge("kalshi_poll_cycle_markets", "Books requested in the last polling cycle.", ["books"])
OLDEST_BOOK_SECONDS = Gauge(
    "kalshi_oldest_polled_book_seconds",
    "Age of the oldest poll among all active books of a class, new ones aside.",
    ["books"],
)
INTERVALS_WAITING = Gauge(
    "kalshi_trade_repair_gaps", "Intervals in which no socket received trades, and whose trades are not fetched yet."
)
SECONDS_WAITING = Gauge(
    "kalshi_trade_repair_waiting_seconds", "Total length of the intervals whose trades are not fetched yet."
)
TRADES_FETCHED = Counter(
    "kalshi_trade_repair_rows_total", "Trades fetched by REST, including those that were already recorded."
)
REPAIR_ERRORS = Counter(
    "kalshi_trade_repair_errors_total",
    "Intervals whose trades could not be fetched, because the exchange refused or answered wrongly; repeated.",
)


def count_books(polled: PolledBooks) -> None:
    """Count the books of one request."""
    POLLS.inc()
    EMPTY_BOOKS.inc(polled.empty)
    BOOKS.labels("changed").inc(len(polled.changed))
    BOOKS.labels("confirmed").inc(len(polled.rows) - len(polled.changed))
    BOOKS.labels("unfit").inc(len(polled.unfit))
    BOOKS.labels("missing").inc(polled.missing)
