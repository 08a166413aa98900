"""What a gatherer shows of itself, asked over HTTP. It knows a million markets."""

import pytest


def problem(answer):
    assert answer.headers["Content-Type"] == "application/problem+json"
    body = answer.json()
    assert body["status"] == answer.status_code
    return body


def test_pages_of_active_markets_follow_one_another_to_the_last(ops):
    first = ops.get("/admin/markets/active", params={"limit": 2}).json()
    assert [market["ticker"] for market in first["markets"]] == ["KX-000000", "KX-000001"]
    second = ops.get("/admin/markets/active", params={"limit": 2, "after": first["next"]}).json()
    assert [market["ticker"] for market in second["markets"]] == ["KX-000002", "KX-000003"]
    last = ops.get("/admin/markets/active", params={"limit": 2, "after": "KX-999997"}).json()
    assert (len(last["markets"]), last["next"]) == (2, None)


def test_without_a_limit_a_page_has_a_hundred_markets(ops):
    assert len(ops.get("/admin/markets/active").json()["markets"]) == 100


@pytest.mark.parametrize(
    ("path", "parameters", "field"),
    [
        ("/admin/markets/active", {"limit": "0"}, "limit"),
        ("/admin/markets/active", {"limit": "1001"}, "limit"),
        ("/admin/markets/active", {"limit": "many"}, "limit"),
        ("/admin/markets/active", {"after": "K" * 201}, "after"),
        ("/admin/markets/active", {"from": "KX-1"}, "from"),
        ("/admin/markets/" + "K" * 201, {}, "ticker"),
        ("/admin/subscriptions", {"ticker": ""}, "ticker"),
        ("/admin/subscriptions", {"limit": "5"}, "limit"),
    ],
)
def test_what_cannot_be_asked_for_is_refused_by_the_field_s_name(ops, path, parameters, field):
    answer = ops.get(path, params=parameters)
    assert answer.status_code == 400
    body = problem(answer)
    assert list(body["errors"]) == [field]
    assert field in body["detail"]


def test_one_market_is_shown_with_its_times(ops):
    status, market = ops.answer("/admin/markets/KX-000042")
    assert (status, market["ticker"], market["status"]) == (200, "KX-000042", "active")
    assert (market["title"], market["trading_status"]) == ("Will it rain?", "trading")
    assert (market["yes_bid"], market["yes_bid_e6"], market["yes_ask"]) == ("0.420000", 420_000, None)
    assert (market["volume"], market["volume_e2"]) == ("12.50", 1_250)
    assert (market["close_time"], market["open_time"]) == ("2023-11-14T22:13:20.500000Z", None)


def test_an_unknown_market_is_not_found(ops):
    answer = ops.get("/admin/markets/KX-GONE")
    assert answer.status_code == 404
    assert problem(answer)["detail"] == "No market KX-GONE is known."


def test_connections_and_subscriptions_are_shown(ops):
    status, body = ops.answer("/admin/connections")
    assert status == 200
    assert [(each["conn"], each["state"], each["age_seconds"]) for each in body["connections"]] == [(7, "open", 0.25)]
    everything = ops.get("/admin/subscriptions").json()["subscriptions"]
    assert [(each["conn"], each["sid"], each["markets_heard"]) for each in everything] == [(7, 1, 8), (8, 1, 8)]


def test_what_is_reached_of_the_books_that_are_polled_is_shown(ops):
    [two_sided] = ops.get("/admin/polling").json()["polling"]
    assert two_sided == {
        "books": "two-sided",
        "every_seconds": 60.0,
        "took_seconds": 61.5,
        "markets": 30_000,
        "oldest_seconds": 80.0,
    }


@pytest.mark.parametrize(("ticker", "conns"), [("KX-000042", [8]), ("KX-GONE", [])])
def test_a_ticker_tells_which_connections_have_it(ops, ticker, conns):
    body = ops.get("/admin/subscriptions", params={"ticker": ticker}).json()
    assert [each["conn"] for each in body["subscriptions"]] == conns


def test_a_book_is_polled_when_asked_for(ops):
    book = ops.ask("POST", "/admin/poll/KX-000001").json()
    assert book == {
        "ticker": "KX-000001",
        "taken_at": "2023-11-14T22:13:20Z",
        "yes": [{"price_e6": 420_000, "size_e2": 1_000}],
        "no": [],
    }


@pytest.mark.parametrize(
    ("ticker", "status", "reason"),
    [
        ("KX-000002", 503, "100 wait"),
        ("KX-000003", 502, "401"),
        ("KX-000004", 404, "no such"),
        ("KX-000005", 409, "not an active"),
        ("KX-GONE", 404, "No"),
    ],
)
def test_a_book_that_cannot_be_had_is_a_problem_with_its_reason(ops, ticker, status, reason):
    answer = ops.ask("POST", f"/admin/poll/{ticker}")
    assert answer.status_code == status
    assert reason in problem(answer)["detail"]


def test_a_comparison_with_the_exchange_is_begun_and_not_waited_for(ops):
    assert ops.ask("POST", "/admin/reconcile").json() == {"status": "begun"}


def test_polling_is_not_for_browsers_that_look_around(ops):
    answer = ops.get("/admin/poll/KX-000001")
    assert (answer.status_code, problem(answer)["title"]) == (405, "Method Not Allowed")
    assert "POST" in answer.headers["Allow"]


def test_an_unknown_path_is_a_problem_too(ops):
    assert problem(ops.get("/nowhere"))["title"] == "Not Found"


def test_an_error_of_ours_is_in_the_log_and_not_in_the_answer(ops):
    answer = ops.get("/switch/failure")
    assert answer.status_code == 500
    assert "reason" not in problem(answer)["detail"]
    line = ops.process.wait_for("unhandled error in an HTTP request")
    assert "LookupError" in line
    assert "the reason" in line
