import threading
from datetime import UTC, datetime, timedelta

import pytest

from tests.kalshi.exchange import Reply, client_of
from workers.registry.registry import LEAST_PAUSE_SECONDS, ExchangeStatusWatch

INTERVAL_SECONDS = 60


@pytest.fixture
def watch(exchange):
    with client_of(exchange) as client:
        yield ExchangeStatusWatch(client, INTERVAL_SECONDS, threading.Event())


def status(*, shards, resume_seconds=None):
    body = {"exchange_active": shards[0], "trading_active": False}
    listed = [
        {"exchange_index": index, "exchange_active": active, "trading_active": False}
        for index, active in enumerate(shards)
    ]
    if resume_seconds is not None:
        resume = datetime.now(UTC) + timedelta(seconds=resume_seconds)
        body["exchange_estimated_resume_time"] = resume.isoformat()
    return Reply(200, {**body, "exchange_index_statuses": listed})


def test_one_active_shard_is_enough_though_trading_is_halted(exchange, watch):
    exchange.answers(status(shards=[False, True]))
    watch.step()
    assert watch.exchange_open.is_set()
    assert watch.pause_seconds() == INTERVAL_SECONDS


def test_with_the_last_shard_the_exchange_closes(exchange, watch):
    exchange.answers(status(shards=[True]), status(shards=[False, False]))
    watch.step()
    watch.step()
    assert not watch.exchange_open.is_set()
    assert not watch.status.any_active


@pytest.mark.parametrize(
    ("resume_seconds", "least", "most"),
    [
        (None, INTERVAL_SECONDS, INTERVAL_SECONDS),
        (7_200, INTERVAL_SECONDS, INTERVAL_SECONDS),
        (30, 1, 30),
        (0.01, LEAST_PAUSE_SECONDS, INTERVAL_SECONDS),
        (-600, INTERVAL_SECONDS, INTERVAL_SECONDS),
    ],
)
def test_an_estimate_is_waited_for_but_not_relied_on(exchange, watch, resume_seconds, least, most):
    exchange.answers(status(shards=[False], resume_seconds=resume_seconds))
    watch.step()
    assert least <= watch.pause_seconds() <= most
