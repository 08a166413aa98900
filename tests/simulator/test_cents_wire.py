"""The older wire as a whole: another path, other channels, integers."""

import pytest

from tests.simulator.running import Client


@pytest.fixture
def simulator(start):
    return start("--wire", "cents", "--markets", "200", "--rate", "100", "--speed", "10", "--tier", "unlimited")


@pytest.mark.parametrize("path", ["/", "/trade-api/ws/v2"])
def test_every_channel_of_the_older_wire(simulator, path):
    tickers = simulator.tickers(status="open")
    with simulator.connect(path=path) as connection:
        client = Client(connection)
        channels = ["orderbook_delta", "trade", "ticker", "market_lifecycle"]
        client.ask("subscribe", channels=channels, market_tickers=tickers)
        listed = client.ask("list_subscriptions")
        assert [each["channel"] for each in listed["subscriptions"]] == channels
        wanted = {"orderbook_snapshot", "orderbook_delta", "trade", "ticker", "market_lifecycle"}
        client.wait_for(lambda _: wanted <= {each["type"] for each in client.seen}, "a message of each")
        again = client.ask("subscribe", channels=["trade"])
        assert again["msg"]["code"] == 6
        added = client.ask("update_subscription", sid=3, action="add_markets", market_tickers=tickers[:1])
        assert set(added["market_tickers"]) == set(tickers)
    delta = client.of_type("orderbook_delta")[0]
    assert 1 <= delta["msg"]["price"] <= 99
    assert isinstance(delta["msg"]["delta"], int)
    assert not any("sending_ts_ms" in each for each in client.seen)
