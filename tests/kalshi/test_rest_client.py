import threading

import msgspec
import pytest

from app.kalshi.errors import UnexpectedAnswerError
from app.kalshi.private_key import PrivateKey
from app.kalshi.request_budget import BASIC, Priority, RequestBudget
from app.kalshi.rest_client import RestClient
from app.kalshi.rest_transport import transport_of
from app.kalshi.signing import Signer
from app.settings.loading import load_settings
from tests.kalshi.exchange import PREFIX, Reply, client_of, transport_to
from tests.kalshi.keys import ed25519_key, pem, rsa_key, verify

SIGNER = Signer("id", PrivateKey(pem(ed25519_key())))


def page(name, *objects, **rest):
    return Reply(200, {name: objects, **rest})


def tickers(raws):
    return [bytes(raw) for raw in raws]


@pytest.mark.parametrize("end", [{"cursor": ""}, {"cursor": None}, {}], ids=["empty", "null", "absent"])
def test_pages_are_followed_to_their_end(exchange, end):
    exchange.answers(page("markets", 1, 2, cursor="a/b="), page("markets", cursor="c"), page("markets", 3, **end))
    with client_of(exchange) as client:
        assert tickers(client.markets(status="open", mve_filter="exclude")) == [b"1", b"2", b"3"]
    first = [("limit", "1000"), ("status", "open"), ("mve_filter", "exclude")]
    assert [sorted(asked.query) for asked in exchange.asked] == [
        sorted(first),
        sorted([*first, ("cursor", "a/b=")]),
        sorted([*first, ("cursor", "c")]),
    ]


def test_a_list_that_is_null_is_empty(exchange):
    exchange.answers(Reply(200, {"trades": None, "cursor": ""}))
    with client_of(exchange) as client:
        assert list(client.trades()) == []


@pytest.mark.parametrize("circle", [["x"], ["a", "x"], list("abcdefghij"), ["start", *"xyz"]])
def test_pages_that_run_in_a_circle_are_an_error(exchange, circle):
    exchange.answers(*(page("markets", cursor=cursor) for _ in range(20) for cursor in circle))
    with client_of(exchange) as client, pytest.raises(UnexpectedAnswerError, match="The pages of an answer repeat"):
        list(client.markets())


def test_pages_are_asked_for_as_they_are_used(exchange):
    exchange.answers(page("events", 1, cursor="a"), page("events", 2, cursor=""))
    with client_of(exchange) as client:
        assert bytes(next(client.events())) == b"1"
    assert len(exchange.asked) == 1


def test_numbers_keep_their_text(exchange):
    exchange.answers(Reply(200, b'{"markets":[{"floor_strike":83950.620000000000001}],"cursor":""}'))
    with client_of(exchange) as client:
        assert tickers(client.markets()) == [b'{"floor_strike":83950.620000000000001}']


def test_half_of_a_character_spoils_no_page(exchange):
    """A title that was cut. Whoever asked again until the page can be read would never get past it."""
    exchange.answers(Reply(200, rb'{"markets":[{"title":"\udF00 \ud83c"},{"title":"\ud83C\udf00 \\ud83c\""}]}'))
    with client_of(exchange, patience_seconds=0.05) as client:
        titles = [msgspec.json.decode(raw)["title"] for raw in client.markets()]
    assert titles == ["\ufffd \ufffd", '\U0001f300 \\ud83c"']


def test_order_books_are_asked_for_by_the_hundred_with_the_parameter_repeated(exchange):
    exchange.answers(page("orderbooks", {"ticker": "A"}))
    names = [f"KX-{number}" for number in range(205)]
    with client_of(exchange) as client:
        assert len(list(client.order_books(names))) == 3
    assert [len(asked.query) for asked in exchange.asked] == [100, 100, 5]
    assert [value for asked in exchange.asked for name, value in asked.query if name == "tickers"] == names
    assert {asked.path for asked in exchange.asked} == {PREFIX + "/markets/orderbooks"}


@pytest.mark.parametrize(
    ("call", "name", "path", "query"),
    [
        (
            lambda client: client.markets_updated_since(7),
            "markets",
            "/markets",
            {"limit": "1000", "min_updated_ts": "7", "mve_filter": "exclude"},
        ),
        (
            lambda client: client.trades(min_ts=1, max_ts=2, ticker="A"),
            "trades",
            "/markets/trades",
            {"limit": "1000", "min_ts": "1", "max_ts": "2", "ticker": "A"},
        ),
        (
            lambda client: client.events(status="open", with_nested_markets=True),
            "events",
            "/events",
            {"limit": "200", "status": "open", "with_nested_markets": "true"},
        ),
        (
            lambda client: client.multivariate_events(series_ticker="S"),
            "events",
            "/events/multivariate",
            {"limit": "200", "series_ticker": "S"},
        ),
        (lambda client: client.series_list(), "series", "/series", {}),
    ],
)
def test_lists_are_asked_for_as_the_exchange_documents(exchange, call, name, path, query):
    exchange.answers(page(name, 1, cursor=""))
    with client_of(exchange) as client:
        assert tickers(call(client)) == [b"1"]
    assert [(asked.path, dict(asked.query)) for asked in exchange.asked] == [(PREFIX + path, query)]


@pytest.mark.parametrize(
    ("call", "name", "path"),
    [
        (lambda client: client.market("KX/A B"), "market", "/markets/KX%2FA%20B"),
        (lambda client: client.event("E"), "event", "/events/E"),
        (lambda client: client.series("S"), "series", "/series/S"),
    ],
)
def test_one_object_is_asked_for_by_its_path(exchange, call, name, path):
    exchange.answers(Reply(200, {name: {"a": 1}}))
    with client_of(exchange) as client:
        assert bytes(call(client)) == b'{"a": 1}'
    assert exchange.asked[0].path == PREFIX + path


@pytest.mark.parametrize("key", [rsa_key, ed25519_key])
def test_every_call_is_signed_without_its_query(exchange, key):
    exchange.answers(page("markets", cursor="more"), page("markets", cursor=""))
    with client_of(exchange, signer=Signer("id", PrivateKey(pem(key())))) as client:
        list(client.markets())
    for asked in exchange.asked:
        verify(key(), asked.headers, "GET", PREFIX + "/markets")


def test_without_a_key_nothing_is_signed_and_never_a_language_asked_for(exchange, monkeypatch, tmp_path):
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login operator password hunter2\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    exchange.answers(page("markets", cursor=""))
    with client_of(exchange) as client:
        list(client.markets())
    names = {name.lower() for name in exchange.asked[0].headers}
    assert not names & {"accept-language", "authorization", "cookie", "kalshi-access-key"}
    assert {"user-agent", "accept-encoding"} <= names


def test_one_connection_serves_call_after_call_and_cookies_are_not_kept(exchange):
    exchange.answers(Reply(200, {"market": {}}, {"Set-Cookie": "a=b"}))
    with client_of(exchange) as client:
        for _ in range(5):
            client.market("A")
    assert len({asked.port for asked in exchange.asked}) == 1
    assert "Cookie" not in exchange.asked[-1].headers


def test_the_account_s_limits_become_the_budget(exchange):
    bucket = {"refill_rate": 300, "bucket_capacity": 900}
    exchange.answers(Reply(200, {"usage_tier": "advanced", "read": bucket, "write": bucket, "grants": []}))
    with client_of(exchange, signer=SIGNER) as client:
        assert client.adopt_account_limits(processes=3).usage_tier == "advanced"
        assert client._transport.budget._bucket._limits == (100, 300)


def test_each_client_asks_with_its_own_priority(exchange):
    asked = []

    class Watched(RequestBudget):
        def acquire(self, priority, *_):
            asked.append(priority)

    exchange.answers(page("markets", cursor=""))
    with transport_to(exchange, budget=Watched()) as transport:
        for priority in (Priority.POLLING, Priority.RECONCILE):
            list(RestClient(transport, priority).markets())
    assert asked == [Priority.POLLING, Priority.RECONCILE]


def test_without_a_key_the_budget_stays_the_lowest_tier_s(exchange):
    with client_of(exchange, budget=RequestBudget()) as client:
        assert client.adopt_account_limits() is None
        assert client._transport.budget._bucket._limits == BASIC
    assert exchange.asked == []


def test_settings_make_a_transport(exchange):
    exchange.answers(page("markets", 1, cursor=""))
    settings = load_settings(
        {
            "KALSHI_REST_URL": exchange.url,
            "KALSHI_API_KEY_ID": "id",
            "KALSHI_API_PRIVATE_KEY": pem(ed25519_key()),
        }
    )
    transport = transport_of(settings, threading.Event())
    assert tickers(RestClient(transport, Priority.REPAIR).markets()) == [b"1"]
    transport.close()
    verify(ed25519_key(), exchange.asked[0].headers, "GET", PREFIX + "/markets")


@pytest.mark.parametrize("bucket", [{"refill_rate": 0, "bucket_capacity": 9}, {"refill_rate": 1, "bucket_capacity": 1}])
def test_limits_that_would_never_let_a_call_pass_are_refused(exchange, bucket):
    exchange.answers(Reply(200, {"read": bucket}))
    with client_of(exchange, signer=SIGNER) as client, pytest.raises(UnexpectedAnswerError):
        client.adopt_account_limits()
