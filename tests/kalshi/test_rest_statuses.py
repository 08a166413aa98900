import gzip
import threading
import time

import pytest

import app.kalshi.rest_transport
from app.kalshi.errors import (
    AccessDeniedError,
    NotFoundError,
    RequestRefusedError,
    UnavailableError,
    UnexpectedAnswerError,
)
from app.kalshi.request_budget import BudgetLimits, RequestBudget
from app.kalshi.rest_transport import RetrySeconds, Timeouts
from app.runtime.health import StoppedError
from tests.kalshi.exchange import PREFIX, QUICK, Reply, client_of
from tests.processes import wait_until

NESTED = {"error": {"code": "not_found", "message": "not found"}}
FLAT = {"code": "not_found", "message": "not found", "details": "no such thing"}
MARKET = Reply(200, {"market": {"ticker": "A"}})
STATUS_PATH = PREFIX + "/exchange/status"
RUNNING = {"exchange_active": True, "trading_active": True}


def statuses(client):
    return {name: count for name, count in client._transport.answers.items() if count}


@pytest.mark.parametrize("body", [NESTED, FLAT, {"error": "not found"}])
def test_a_404_is_none(exchange, body):
    exchange.answers(Reply(404, body))
    with client_of(exchange) as client:
        assert client.market("A") is None
    assert len(exchange.asked) == 1


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, RequestRefusedError),
        (404, NotFoundError),
        (409, RequestRefusedError),
        (401, AccessDeniedError),
        (403, AccessDeniedError),
    ],
)
def test_what_asking_again_would_not_help_is_told_at_once(exchange, status, error):
    exchange.answers(Reply(status, FLAT))
    with client_of(exchange) as client, pytest.raises(error, match="not_found: not found no such thing"):
        list(client.markets())
    assert len(exchange.asked) == 1


@pytest.mark.parametrize(("status", "error"), [(200, UnexpectedAnswerError), (400, RequestRefusedError)])
def test_an_answer_nested_beyond_all_bounds_ends_the_call_and_nothing_else(exchange, status, error):
    nested = b'{"x": %s%s}' % (b"[" * 100_000, b"]" * 100_000)
    exchange.answers(Reply(status, b'{"markets": [%s], "error": %s}' % (nested, nested)))
    with client_of(exchange) as client, pytest.raises(error):
        list(client.markets())


def test_a_redirect_is_not_followed(exchange):
    exchange.answers(Reply(302, b"", {"Location": exchange.url + "/elsewhere"}))
    with client_of(exchange) as client, pytest.raises(RequestRefusedError, match="with 302"):
        client.market("A")
    assert len(exchange.asked) == 1


def test_a_refused_key_tells_the_operator_what_to_check(exchange):
    exchange.answers(Reply(401, {"error": {"code": "authentication_error", "message": "NOT_FOUND"}}))
    with client_of(exchange) as client, pytest.raises(AccessDeniedError) as caught:
        client.account_limits()
    assert "authentication_error: NOT_FOUND" in str(caught.value)
    assert "clock" in caught.value.fix


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504, 599])
def test_what_may_pass_is_asked_again_until_it_has(exchange, status):
    exchange.by_path[STATUS_PATH] = Reply(200, RUNNING)
    exchange.answers(Reply(status, b"<html>busy</html>"), Reply(status, NESTED), MARKET)
    with client_of(exchange) as client:
        assert bytes(client.market("A")) == b'{"ticker": "A"}'
        assert client._transport.retries == 2


@pytest.mark.parametrize(
    "reply",
    [Reply(hang_up=True), Reply(200, MARKET.body, missing_bytes=5), Reply(200, b'{"market": {"tic'), Reply(200, b"")],
    ids=["hung up", "cut short", "half an object", "empty"],
)
def test_an_answer_that_did_not_arrive_whole_is_asked_for_again(exchange, reply):
    exchange.answers(reply, reply, MARKET)
    with client_of(exchange) as client:
        assert client.market("A") is not None
    assert len(exchange.asked) == 3


def test_an_exchange_that_is_silent_is_asked_again(exchange):
    never = threading.Event()
    exchange.answers(Reply(200, {}, after=never), MARKET)
    with client_of(exchange, timeouts=Timeouts(silence_seconds=0.1)) as client:
        assert client.market("A") is not None
        assert statuses(client) == {"no answer": 1, "2xx": 1}
    never.set()


def test_an_exchange_that_is_away_is_found_when_it_is_back(exchange):
    exchange.answers(MARKET)
    with client_of(exchange, timeouts=Timeouts(connect_seconds=0.2)) as client:
        here, client._transport._session._base_url = exchange.url, "http://127.0.0.1:9/none"
        found = []
        asking = threading.Thread(target=lambda: found.append(client.market("A")))
        asking.start()
        wait_until(lambda: statuses(client).get("no answer", 0) >= 2)
        client._transport._session._base_url = here
        asking.join(120)
    assert found[0] is not None


def test_an_answer_of_another_shape_is_an_error(exchange):
    exchange.answers(Reply(200, {"surprise": []}))
    with client_of(exchange) as client:
        with pytest.raises(UnexpectedAnswerError, match="missing required field `markets`"):
            list(client.markets())
        with pytest.raises(UnexpectedAnswerError, match="has no market"):
            client.market("A")


def test_an_answer_may_be_compressed(exchange):
    exchange.answers(Reply(200, gzip.compress(MARKET.content()), {"Content-Encoding": "gzip"}))
    with client_of(exchange) as client:
        assert bytes(client.market("A")) == b'{"ticker": "A"}'


def test_patience_ends(exchange):
    exchange.answers(Reply(500, NESTED))
    with client_of(exchange, patience_seconds=1) as client, pytest.raises(UnavailableError, match="with 500"):
        client.market("A")
    assert len(exchange.asked) > 1


def test_a_signature_that_grew_old_on_a_suspended_host_is_no_refused_key(exchange, monkeypatch):
    exchange.answers(Reply(401, NESTED), MARKET)
    times = iter([0.0, 60.0, 61.0, 61.1])
    monkeypatch.setattr(app.kalshi.rest_transport, "steady_seconds", lambda: next(times))
    with client_of(exchange) as client:
        assert bytes(client.market("A")) == b'{"ticker": "A"}'
    assert len(exchange.asked) == 2


def test_a_429_empties_the_budget(exchange):
    exchange.answers(Reply(429, {"error": "too many requests"}), MARKET)
    budget = RequestBudget(BudgetLimits(tokens_per_second=100, capacity=1_000))
    with client_of(exchange, budget=budget) as client:
        started = time.monotonic()
        client.market("A")
        assert time.monotonic() - started >= 0.09
    assert budget.waits == 1
    assert budget.waited_ns > 0


def test_with_503_the_exchange_is_asked_whether_it_runs_and_waited_for(exchange):
    exchange.by_path[STATUS_PATH] = Reply(
        503,
        {"exchange_active": False, "trading_active": False, "exchange_estimated_resume_time": "2099-01-01T00:00:00Z"},
    )
    exchange.answers(Reply(503, NESTED), MARKET)
    with client_of(exchange, backoff=RetrySeconds(first_seconds=0.001, longest_seconds=0.3)) as client:
        started = time.monotonic()
        client.market("A")
        assert time.monotonic() - started >= 0.3
    assert [asked.path for asked in exchange.asked] == [
        PREFIX + "/markets/A",
        STATUS_PATH,
        PREFIX + "/markets/A",
    ]


def test_with_503_and_a_status_that_fails_too_the_backoff_holds(exchange):
    exchange.by_path[STATUS_PATH] = Reply(hang_up=True)
    exchange.answers(Reply(503, NESTED), MARKET)
    with client_of(exchange) as client:
        assert client.market("A") is not None


@pytest.mark.parametrize("status", [500, 503, 504])
def test_a_status_that_comes_with_an_error_is_a_status(exchange, status):
    exchange.answers(Reply(status, {"exchange_active": False, "trading_active": False}))
    with client_of(exchange) as client:
        assert not client.exchange_status().any_active


@pytest.mark.parametrize("reply", [Reply(500, NESTED), Reply(hang_up=True)])
def test_a_stop_ends_a_long_backoff_at_once(exchange, reply):
    stopping = threading.Event()
    exchange.answers(reply)
    ended = []
    with client_of(exchange, stopping=stopping, backoff=RetrySeconds(1_000, 10_000)) as client:

        def ask():
            with pytest.raises(StoppedError):
                client.market("A")
            ended.append(True)

        asking = threading.Thread(target=ask)
        asking.start()
        wait_until(lambda: client._transport.retries)
        stopping.set()
        asking.join(120)
    assert ended


def test_nothing_is_asked_after_a_stop(exchange):
    stopping = threading.Event()
    stopping.set()
    with client_of(exchange, stopping=stopping) as client, pytest.raises(StoppedError):
        client.market("A")
    assert exchange.asked == []


def test_answers_are_counted_by_class(exchange):
    exchange.by_path[STATUS_PATH] = Reply(200, RUNNING)
    exchange.answers(Reply(429, NESTED), Reply(500, NESTED), Reply(hang_up=True), Reply(404, NESTED))
    with client_of(exchange, backoff=QUICK) as client:
        client.market("A")
        client.exchange_status()
        assert statuses(client) == {"429": 1, "5xx": 1, "no answer": 1, "4xx": 1, "2xx": 1}
