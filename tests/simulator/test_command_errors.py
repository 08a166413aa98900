"""Each mistake is answered with the exchange's own code, and the connection lives on."""

import json

import pytest

from app.simulator.websocket.commands import TEXTS
from tests.simulator.running import Client

SUBSCRIBE = "subscribe"
UPDATE = "update_subscription"
MISTAKES = [
    (1, "not json"),
    (1, "[]"),
    (5, {"cmd": "no_such_command", "params": {}}),
    (5, {}),
    (2, {"cmd": SUBSCRIBE}),
    (2, {"cmd": "unsubscribe", "params": []}),
    (3, {"cmd": SUBSCRIBE, "params": {}}),
    (3, {"cmd": SUBSCRIBE, "params": {"channels": []}}),
    (4, {"cmd": "unsubscribe", "params": {}}),
    (7, {"cmd": "unsubscribe", "params": {"sids": [77]}}),
    (7, {"cmd": UPDATE, "params": {"sid": 77, "action": "add_markets", "market_tickers": ["A"]}}),
    (8, {"cmd": SUBSCRIBE, "params": {"channels": ["market_lifecycle"]}}),
    (8, {"cmd": SUBSCRIBE, "params": {"channels": ["ticker", "ticker_v2"]}}),
    (11, {"cmd": SUBSCRIBE, "params": {"channels": "ticker"}}),
    (11, {"cmd": SUBSCRIBE, "params": {"channels": ["ticker"], "market_ticker": "A", "market_tickers": ["B"]}}),
    (11, {"cmd": SUBSCRIBE, "params": {"channels": ["orderbook_delta"], "market_ids": ["A"]}}),
    (11, {"id": -1, "cmd": "list_subscriptions"}),
    (12, {"cmd": UPDATE, "params": {"action": "add_markets"}}),
    (12, {"cmd": UPDATE, "params": {"sids": [1, 2], "action": "add_markets"}}),
    (12, {"cmd": UPDATE, "params": {"sid": 1, "sids": [1], "action": "add_markets"}}),
    (13, {"cmd": UPDATE, "params": {"sid": 1, "action": "shuffle_markets", "market_tickers": ["A"]}}),
    (13, {"cmd": UPDATE, "params": {"sid": 1, "action": "add_markets", "market_tickers": ["A"]}}),
    (14, {"cmd": SUBSCRIBE, "params": {"channels": ["orderbook_delta"]}}),
    (14, {"cmd": UPDATE, "params": {"sid": 1, "action": "add_markets"}}),
    (15, {"cmd": UPDATE, "params": {"sid": 1, "market_tickers": ["A"]}}),
    (19, {"cmd": SUBSCRIBE, "params": {"channels": ["communications"], "shard_factor": 0}}),
    (20, {"cmd": SUBSCRIBE, "params": {"channels": ["communications"], "shard_key": 0}}),
    (21, {"cmd": SUBSCRIBE, "params": {"channels": ["communications"], "shard_factor": 2, "shard_key": 2}}),
    (22, {"cmd": SUBSCRIBE, "params": {"channels": ["communications"], "shard_factor": 101}}),
]


@pytest.mark.parametrize(("code", "command"), MISTAKES)
def test_a_mistake_has_its_code(client, code, command):
    # Sid 1 listens to everything, to which nothing can be added.
    client.ask("subscribe", channels=["market_lifecycle_v2"])
    client.connection.send(command if isinstance(command, str) else json.dumps({"id": 50, **command}))
    error = client.wait_for_type("error")
    assert error["msg"] == {"code": code, "msg": TEXTS[code]}
    if isinstance(command, dict) and command.get("id", 50) > 0:
        assert error["id"] == 50
    assert client.ask("list_subscriptions")["type"] == "ok"


def test_more_markets_than_a_session_may_have(start):
    simulator = start("--markets-per-session", "10")
    tickers = simulator.tickers()[:11]
    with simulator.connect() as connection:
        client = Client(connection)
        assert client.ask("subscribe", channels=["orderbook_delta"], market_tickers=tickers)["msg"]["code"] == 26
        client.ask("subscribe", channels=["orderbook_delta"], market_tickers=tickers[:10])
        assert client.ask(UPDATE, sid=1, action="add_markets", market_tickers=tickers[10:])["msg"]["code"] == 26
        # Tickers and trades of any number of markets are free.
        assert client.ask("subscribe", channels=["ticker"], market_tickers=tickers)["type"] == "subscribed"


def test_more_commands_than_a_second_has_room_for(start):
    simulator = start("--commands-per-second", "5")
    with simulator.connect() as connection:
        for number in range(1, 30):
            connection.send(json.dumps({"id": number, "cmd": "list_subscriptions"}))
        answers = [json.loads(connection.recv(10)) for _ in range(29)]
    codes = [answer["msg"]["code"] for answer in answers if answer["type"] == "error"]
    assert set(codes) == {27}
    assert len(codes) < 29
