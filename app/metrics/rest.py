from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from app.kalshi.rest_transport import RestTransport
from app.kalshi.token_bucket import NS_PER_SECOND


class RestBudgetCollector(Collector):
    """What the REST transport counts by itself, read when it is asked for."""

    def __init__(self, transport: RestTransport) -> None:
        self._transport = transport

    @staticmethod
    def describe() -> list[Metric]:
        return [
            CounterMetricFamily(
                "kalshi_rest_requests_total", "Requests to the exchange by class of its answer.", labels=["answer"]
            ),
            CounterMetricFamily("kalshi_rest_retries_total", "Requests that were repeated, after a pause."),
            GaugeMetricFamily("kalshi_rest_waiting_requests", "Requests that wait for the account's budget now."),
            CounterMetricFamily("kalshi_rest_waits_total", "Requests that had to wait for the budget."),
            CounterMetricFamily("kalshi_rest_waited_seconds_total", "Time that they waited, together."),
        ]

    def collect(self) -> Iterator[Metric]:
        requests, *others = self.describe()
        for answer, count in self._transport.answers.items():
            requests.add_sample("kalshi_rest_requests_total", {"answer": answer}, count)
        yield requests
        budget = self._transport.budget
        figures = (self._transport.retries, budget.waiting, budget.waits, budget.waited_ns / NS_PER_SECOND)
        for family, figure in zip(others, figures, strict=True):
            family.add_sample(family.name + ("_total" if family.type == "counter" else ""), {}, figure)
            yield family
