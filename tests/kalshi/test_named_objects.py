import pytest

from tests.kalshi.exchange import PREFIX, Reply, client_of


@pytest.mark.parametrize(
    ("call", "name", "path"),
    [
        (lambda client, tickers: client.named_markets(tickers), "markets", "/markets"),
        (lambda client, tickers: client.named_events(tickers), "events", "/events"),
        (lambda client, tickers: client.named_multivariate_events(tickers), "events", "/events/multivariate"),
    ],
)
def test_objects_are_asked_for_by_name_a_hundred_at_a_time(exchange, call, name, path):
    exchange.answers(Reply(200, {name: [1], "cursor": ""}))
    tickers = [f"KX-{number}" for number in range(205)]
    with client_of(exchange) as client:
        assert len(list(call(client, tickers))) == 3
    assert {asked.path for asked in exchange.asked} == {PREFIX + path}
    asked_for = [dict(asked.query)["tickers"].split(",") for asked in exchange.asked]
    assert [len(batch) for batch in asked_for] == [100, 100, 5]
    assert [ticker for batch in asked_for for ticker in batch] == tickers
    assert all("status" not in dict(asked.query) for asked in exchange.asked)


def test_addresses_stay_short_enough_for_what_stands_before_the_exchange(exchange):
    exchange.answers(Reply(200, {"markets": [], "cursor": ""}))
    with client_of(exchange) as client:
        assert list(client.named_markets(["K" * 150 for _ in range(100)])) == []
    assert len(exchange.asked) == 3
