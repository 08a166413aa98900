import pytest
from prometheus_client import CollectorRegistry, generate_latest

from app.kalshi.request_budget import TOKENS_PER_CALL, BudgetLimits, RequestBudget
from app.metrics.rest import RestBudgetCollector
from tests.kalshi.exchange import Reply, client_of

MARKET = Reply(200, {"market": {"ticker": "A"}})


@pytest.fixture
def registry():
    return CollectorRegistry()


def test_what_the_exchange_answered_and_how_long_it_was_waited_for_is_shown(exchange, registry):
    exchange.answers(Reply(500, {}), Reply(429, {}), MARKET)
    slow = RequestBudget(BudgetLimits(TOKENS_PER_CALL * 20, TOKENS_PER_CALL))
    with client_of(exchange, budget=slow) as client:
        registry.register(RestBudgetCollector(client._transport))
        client.market("A")
        seen = {
            (sample.name, sample.labels.get("answer")): sample.value
            for family in registry.collect()
            for sample in family.samples
        }
    by_class = {answer: count for (name, answer), count in seen.items() if name == "kalshi_rest_requests_total"}
    assert (by_class["2xx"], by_class["429"], by_class["5xx"], by_class["no answer"]) == (1, 1, 1, 0)
    assert seen["kalshi_rest_retries_total", None] == 2
    assert seen["kalshi_rest_waiting_requests", None] == 0
    assert seen["kalshi_rest_waits_total", None] >= 1
    assert seen["kalshi_rest_waited_seconds_total", None] > 0


def test_figures_are_read_when_they_are_asked_for_and_add_up_to_nothing_new(exchange, registry):
    exchange.answers(MARKET)
    with client_of(exchange) as client:
        registry.register(RestBudgetCollector(client._transport))
        client.market("A")
        assert generate_latest(registry) == generate_latest(registry)
        client.market("A")
        assert b'kalshi_rest_requests_total{answer="2xx"} 2.0' in generate_latest(registry)
