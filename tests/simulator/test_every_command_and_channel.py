"""With a client library that is not ours: every command is answered and every channel read, as the schemas say."""

import pytest

from tests.simulator.running import Client, open_socket
from tests.simulator.specification import needs_specification, websocket_definitions

DEFINITIONS = {
    "orderbook_snapshot": "orderbookSnapshotPayload",
    "orderbook_delta": "orderbookDeltaPayload",
    "trade": "tradePayload",
    "ticker": "tickerPayload",
    "market_lifecycle_v2": "marketLifecycleV2Payload",
    "multivariate_market_lifecycle": "multivariateMarketLifecyclePayload",
    "event_lifecycle": "eventLifecyclePayload",
    "event_fee_update": "eventFeeUpdatePayload",
    "subscribed": "subscribedResponsePayload",
    "unsubscribed": "unsubscribedResponsePayload",
    "error": "errorResponsePayload",
}
PUBLIC = ["orderbook_delta", "trade", "ticker", "market_lifecycle_v2", "multivariate_market_lifecycle"]
SILENT = ["fill", "market_positions", "communications", "order_group_updates", "user_orders", "pyth_value"]


def definition_of(message):
    if message["type"] == "ok":
        return "listSubscriptionsResponsePayload" if isinstance(message.get("msg"), list) else "okResponsePayload"
    if message["msg"].get("event_type") == "metadata_updated" if "msg" in message else False:
        return "marketMetadataUpdatedPayload"
    return DEFINITIONS[message["type"]]


@needs_specification
def test_every_channel_is_read_and_every_frame_is_valid(start):
    simulator = start("--markets", "300", "--rate", "100", "--speed", "20", "--tier", "unlimited")
    tickers = simulator.tickers(status="open")
    wanted = {*DEFINITIONS} - {"unsubscribed", "error"}
    with simulator.connect() as connection:
        client = Client(connection)
        client.ask("subscribe", channels=PUBLIC, market_tickers=tickers)
        client.ask("update_subscription", sid=3, action="delete_markets", market_tickers=tickers[:1])
        client.wait_for(lambda _: wanted <= {each["type"] for each in client.seen}, f"a message of each of {wanted}")
        client.ask("unsubscribe", sids=[2])
        client.ask("unsubscribe", sids=[2])
    definitions = websocket_definitions()
    for message in client.seen:
        definitions.check(definition_of(message), message)
    assert {*DEFINITIONS} <= {message["type"] for message in client.seen}


def test_each_channel_of_a_subscription_has_its_own_sid(client, simulator):
    tickers = simulator.tickers(status="open")[:2]
    client.ask("subscribe", channels=["orderbook_delta", "ticker"], market_tickers=tickers)
    listed = client.ask("list_subscriptions")["msg"]
    assert listed == [{"channel": "orderbook_delta", "sid": 1}, {"channel": "ticker", "sid": 2}]
    acknowledged = [message["msg"] for message in client.of_type("subscribed")]
    assert acknowledged == listed


def test_every_market_is_shown_once_and_then_told_about(client, simulator):
    tickers = simulator.tickers(status="open")[:50]
    client.ask("subscribe", channels=["orderbook_delta"], market_tickers=tickers)
    client.wait_for(lambda _: len(client.of_type("orderbook_snapshot")) == 50, "all snapshots")
    assert [each["msg"]["market_ticker"] for each in client.of_type("orderbook_snapshot")] == tickers
    assert client.wait_for_type("orderbook_delta")["msg"]["market_ticker"] in tickers


@pytest.mark.parametrize("skipped", [False, True])
def test_ok_lists_the_full_set_unless_it_is_to_be_skipped(client, simulator, skipped):
    tickers = simulator.tickers(status="open")[:3]
    first, *rest = tickers
    client.ask("subscribe", channels=["ticker"], market_tickers=[first], skip_ticker_ack=skipped)
    added = client.ask("update_subscription", sids=[1], action="add_markets", market_tickers=rest)
    removed = client.ask("update_subscription", sid=1, action="delete_markets", market_ticker=first)
    if skipped:
        assert "msg" not in added
    else:
        assert sorted(added["msg"]["market_tickers"]) == sorted(tickers)
        assert sorted(removed["msg"]["market_tickers"]) == sorted(rest)


def test_get_snapshot_answers_with_its_id_and_leaves_the_subscription_alone(client, simulator):
    one, other = simulator.tickers(status="open")[:2]
    client.ask("subscribe", channels=["orderbook_delta"], market_tickers=[one])
    number = client.send("update_subscription", sid=1, action="get_snapshot", market_tickers=[one, other])
    client.wait_for(lambda _: len([each for each in client.seen if each.get("id") == number]) == 2, "two snapshots")
    answers = [each for each in client.seen if each.get("id") == number]
    assert [(each["type"], each["msg"]["market_ticker"]) for each in answers] == [
        ("orderbook_snapshot", one),
        ("orderbook_snapshot", other),
    ]
    listed = client.ask("update_subscription", sid=1, action="add_markets", market_tickers=[one])
    assert listed["msg"]["market_tickers"] == [one]


def test_the_ticker_channel_knows_market_ids_and_initial_snapshots(client, simulator):
    tickers = simulator.tickers(status="open")[:20]
    client.ask("subscribe", channels=["ticker"], market_tickers=tickers, send_initial_snapshot=True)
    client.wait_for(lambda _: {each["msg"]["market_ticker"] for each in client.of_type("ticker")} >= {*tickers}, "all")
    ids = sorted({each["msg"]["market_id"] for each in client.of_type("ticker")})
    client.ask("unsubscribe", sids=[1])
    client.ask("subscribe", channels=["ticker"], market_ids=ids[:5])
    answer = client.ask("update_subscription", sid=2, action="add_markets", market_ids=ids[5:])
    assert sorted(answer["msg"]["market_ids"]) == ids


def test_yes_prices_mirror_the_no_side(client, simulator):
    tickers = simulator.tickers(status="open")
    books = {}
    for yes_price in (False, True):
        simulator.stop_the_clock()
        client.ask("subscribe", channels=["orderbook_delta"], market_tickers=tickers, use_yes_price=yes_price)
        sid = client.of_type("subscribed")[-1]["msg"]["sid"]
        client.wait_for(lambda _, sid=sid: len(snapshots(client, sid)) == len(tickers), "all snapshots")
        books[yes_price] = {each["msg"]["market_ticker"]: each["msg"] for each in snapshots(client, sid)}
        client.ask("unsubscribe", sids=[sid])
    simulator.go_on()
    shown = [ticker for ticker in tickers if "no_dollars_fp" in books[False][ticker]]
    assert shown
    for ticker in shown:
        mirrored = [
            [f"{1 - float(price):.4f}", size] for price, size in reversed(books[False][ticker]["no_dollars_fp"])
        ]
        assert books[True][ticker]["no_dollars_fp"] == mirrored
        assert books[True][ticker].get("yes_dollars_fp") == books[False][ticker].get("yes_dollars_fp")


def snapshots(client, sid):
    return [each for each in client.of_type("orderbook_snapshot") if each["sid"] == sid]


def test_known_channels_without_data_are_silent(client):
    for sid, channel in enumerate(SILENT, start=1):
        assert client.ask("subscribe", channels=[channel])["msg"] == {"channel": channel, "sid": sid}


def test_subscribing_again_gives_the_same_sid(client, simulator):
    one, other = simulator.tickers(status="open")[:2]
    first = client.ask("subscribe", channels=["ticker"], market_tickers=[one])
    again = client.ask("subscribe", channels=["ticker"], market_tickers=[other])
    assert again["msg"] == first["msg"]
    listed = client.ask("update_subscription", sid=1, action="add_markets", market_tickers=[one])
    assert sorted(listed["msg"]["market_tickers"]) == sorted([one, other])


def test_commands_may_come_in_binary_frames(client):
    client.connection.send(b'{"id":9,"cmd":"list_subscriptions"}')
    assert client.receive() == {"id": 9, "type": "ok", "msg": [], "sending_ts_ms": client.seen[-1]["sending_ts_ms"]}


def test_unknown_tickers_are_silent(client, simulator):
    known = simulator.tickers(status="open")[0]
    client.ask("subscribe", channels=["orderbook_delta"], market_tickers=["KXNONE-26NOV21-T1", known])
    assert client.wait_for_type("orderbook_snapshot")["msg"]["market_ticker"] == known


def test_pings_of_both_sides(start):
    simulator = start("--heartbeat", "0.2")
    with simulator.connect() as connection, open_socket(simulator) as by_hand:
        assert connection.ping(b"are you there").wait(120)
        # Libraries answer pings without a word: the other end has to be read by hand.
        received = b""
        while received.count(b"\x89\x09heartbeat") < 3:
            received += by_hand.recv(4_096)
        assert Client(connection).ask("list_subscriptions")["type"] == "ok"
