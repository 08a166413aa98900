"""Who is let in, and how the others are told."""

import time

import pytest
from websockets.exceptions import InvalidStatus

from tests.simulator.running import Client

PATH = "/trade-api/ws/v2"


def refusal(simulator, headers, path=PATH):
    with pytest.raises(InvalidStatus) as refused:
        simulator.connect(headers=headers, path=path)
    return refused.value.response.status_code


@pytest.mark.parametrize("key", [0, 1], ids=["rsa", "ed25519"])
def test_a_signed_handshake_is_accepted(simulator, key):
    with simulator.connect(key=key) as connection:
        assert Client(connection).ask("list_subscriptions")["msg"] == []


@pytest.mark.parametrize("left_out", ["KALSHI-ACCESS-KEY", "KALSHI-ACCESS-TIMESTAMP", "KALSHI-ACCESS-SIGNATURE"])
def test_every_header_is_needed(simulator, left_out):
    headers = simulator.signed(PATH)
    del headers[left_out]
    assert refusal(simulator, headers) == 401


@pytest.mark.parametrize("key", [0, 1], ids=["rsa", "ed25519"])
def test_a_signature_of_something_else_is_refused(simulator, key):
    assert refusal(simulator, simulator.signed("/trade-api/v2/markets", key=key)) == 401
    assert refusal(simulator, simulator.signed(PATH, method="POST", key=key)) == 401
    mixed = simulator.signed(PATH, key=key) | {"KALSHI-ACCESS-KEY": simulator.where["keys"][1 - key]["key_id"]}
    assert refusal(simulator, mixed) == 401


def test_unknown_keys_and_garbage_are_refused(simulator):
    headers = simulator.signed(PATH)
    for name in headers:
        assert refusal(simulator, {**headers, name: "no such thing"}) == 401


@pytest.mark.parametrize("off_ms", [-60_000, 60_000])
def test_an_old_or_early_signature_is_refused(simulator, off_ms):
    now_ms = time.time_ns() // 1_000_000
    assert refusal(simulator, simulator.signed(PATH, at_ms=now_ms + off_ms)) == 401


def test_a_query_is_no_part_of_what_is_signed(simulator):
    with simulator.connect(path=f"{PATH}?a=b", headers=simulator.signed(PATH)) as connection:
        assert Client(connection).ask("list_subscriptions")["type"] == "ok"


def test_other_paths_are_not_found(simulator):
    assert refusal(simulator, simulator.signed("/"), path="/") == 404


def test_one_user_has_so_many_connections_and_the_next_user_as_many(start):
    simulator = start("--connections-per-user", "2")
    with simulator.connect(), simulator.connect():
        assert refusal(simulator, simulator.signed(PATH)) == 429
        with simulator.connect(key=1):
            pass


def test_signed_requests_are_checked_where_unsigned_ones_would_do(simulator):
    path = "/trade-api/v2/exchange/status"
    assert simulator.rest("/exchange/status", headers=simulator.signed(path)).status == 200
    assert simulator.rest("/exchange/status", headers=simulator.signed("/elsewhere")).status == 401
