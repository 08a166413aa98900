"""Records of all markets by time, and books over time: in every format the same, with their coverage, piece by piece."""

import csv
import io
import json
from datetime import datetime, timedelta

import pyarrow as pa
import pytest
from pyarrow import ipc

from admin.application import service as service_over
from app.postgres.connection import connected
from app.settings import Settings
from kalshi_data.schema import schema_of
from tests.admin.seeded import MARKETS, TICKER, TRADED_ONCE

MANY_TRADES = """
    INSERT INTO trades (
        exchange_ts, received_at, size_e2, yes_price_e6, taker_yes, is_block_trade, from_rest, ticker, trade_id
    )
    SELECT now() - n * INTERVAL '1 millisecond', now(), 100, 430000, TRUE, FALSE, FALSE, %s, format('many-%%s', n)
    FROM generate_series(1, 40000) AS n
"""
LISTS = ["trades", "book-changes", "quotes", "snapshots", "coverage", "markets"]


def ask(api, path, form, **query):
    answer = api.get(path, query_string={**query, "format": form})
    assert answer.status_code == 200, answer.text
    return answer


def arrow_of(answer):
    return ipc.open_stream(answer.data).read_all()


def plain(value):
    """Times as JSON and CSV have them."""
    if isinstance(value, list):
        return [plain(each) for each in value]
    return value.isoformat() if isinstance(value, datetime) else value


def utc(value):
    if isinstance(value, list):
        return [utc(each) for each in value]
    return datetime.fromisoformat(value).isoformat() if isinstance(value, str) and "T" in value else value


@pytest.mark.parametrize("name", LISTS)
def test_every_format_has_the_same_rows(name, api):
    path = f"/admin/records/{name}"
    page = ask(api, path, "json", limit=1_000).json
    rows = next(value for value in page.values() if isinstance(value, list) and value)
    lines = [json.loads(line) for line in ask(api, path, "ndjson", limit=1_000).text.splitlines()]
    cells = list(csv.reader(io.StringIO(ask(api, path, "csv", limit=1_000, exact="true").text, newline="")))
    table = arrow_of(ask(api, path, "arrow", limit=1_000))
    assert lines == rows
    assert cells[0] == table.schema.names == list(rows[0])
    assert len(cells) - 1 == table.num_rows == len(rows)
    table_of = {"book-changes": "orderbook_deltas", "quotes": "tickers", "snapshots": "orderbook_snapshots"}
    assert table.schema == schema_of(table_of.get(name, name))
    for row, typed in zip(rows, table.to_pylist(), strict=True):
        shown = {key: int(value) if key.endswith("digest") else utc(value) for key, value in row.items()}
        assert shown == {key: plain(value) for key, value in typed.items()}


def test_trades_of_all_markets_come_by_time(api):
    found = arrow_of(ask(api, "/admin/records/trades", "arrow"))
    assert set(found["ticker"].to_pylist()) == {TICKER, TRADED_ONCE}
    times = found["exchange_ts"].to_pylist()
    assert times == sorted(times)
    only = arrow_of(ask(api, "/admin/records/trades", "arrow", ticker=TRADED_ONCE))
    assert only["ticker"].to_pylist() == [TRADED_ONCE]
    of_event = arrow_of(ask(api, "/admin/records/trades", "arrow", event="KXRAIN-26NOV21"))
    assert of_event.num_rows == found.num_rows
    assert arrow_of(ask(api, "/admin/records/trades", "arrow", series="KXSNOW")).num_rows == 0


def test_pages_of_book_changes_neither_repeat_nor_skip_rows(api):
    path, whole = "/admin/records/book-changes", []
    after = {}
    while True:
        page = api.json(path, limit=7, **after)
        whole += page["book_changes"]
        if page["next"] is None:
            break
        after = {"after": page["next"]}
    assert whole == api.json(path, limit=1_000)["book_changes"]
    assert len(whole) == 50


def test_coverage_stands_beside_every_answer(api):
    """The hole of the book is five hours old; of trades there is none."""
    page = api.json("/admin/records/book-changes", ticker=TICKER)
    assert len(page["holes"]) == 1
    assert page["known_until"]
    assert api.json("/admin/records/book-changes", ticker=TRADED_ONCE)["holes"] == []
    assert api.json("/admin/records/book-changes")["holes"] == page["holes"]
    assert api.json("/admin/records/trades", ticker=TICKER)["holes"] == []
    for form in ("csv", "ndjson", "arrow"):
        headers = ask(api, "/admin/records/book-changes", form, ticker=TICKER).headers
        assert headers["Holes"].count("/") == 1
        assert datetime.fromisoformat(headers["Known-Until"])


@pytest.fixture(scope="module")
def period(api):
    """The hour and a half in which the seeded book changes once a minute."""
    [snapshot] = api.json(f"/admin/markets/{TICKER}/snapshots")["snapshots"]
    since = datetime.fromisoformat(snapshot["snapshot_ts"])
    return {"from": since.isoformat(), "to": (since + timedelta(minutes=100)).isoformat(), "every": "10m"}


def test_books_over_time_are_the_books_of_their_times(api, period):
    path = f"/admin/markets/{TICKER}/books"
    page = api.json(path, **period)
    assert len(page["books"]) == 10
    for row in page["books"]:
        book = api.json(f"/admin/markets/{TICKER}/book", at=row["at"])
        assert [level["price_e6"] for level in book["yes"]] == row["yes_prices_e6"]
        assert [level["size_e2"] for level in book["yes"]] == row["yes_sizes_e2"]
        assert [level["price_e6"] for level in book["no"]] == row["no_prices_e6"]
        assert (book["changes"], book["source"]) == (row["changes"], row["source"])
    lines = [json.loads(line) for line in ask(api, path, "ndjson", **period).text.splitlines()]
    assert lines == page["books"]
    typed = [
        {key: plain(value) for key, value in row.items()}
        for row in arrow_of(ask(api, path, "arrow", **period)).to_pylist()
    ]
    assert typed == [{key: utc(value) for key, value in row.items()} for row in lines]
    assert ask(api, path, "csv", **period).text.startswith("at,state,based_on,source,changes,yes_prices_e6,")


@pytest.mark.parametrize("part", [1, 3, 10])
def test_books_are_the_same_however_few_changes_are_held_at_once(part, api, period, monkeypatch):
    path = f"/admin/markets/{TICKER}/books"
    whole = api.json(path, **period)
    monkeypatch.setattr("admin.api.replay.PART_CHANGES", part)
    assert api.json(path, **period) == whole


def test_limits_are_named(api, period):
    path = f"/admin/markets/{TICKER}/books"
    for form, most in (("json", "1,000"), ("ndjson", "100,000")):
        answer = api.get(path, query_string={**period, "every": "10ms", "format": form})
        assert answer.status_code == 400
        assert f"600,000 books, and an answer in this format has at most {most}" in answer.json["errors"]["every"][0]
    answer = api.get(path, query_string={**period, "every": "often"})
    assert answer.status_code == 400
    assert "no step in time" in answer.json["errors"]["every"][0]
    assert set(api.get(path).json["errors"]) == {"from", "to"}
    assert api.get("/admin/markets/KX-NONE/books", query_string=period).status_code == 404


def test_lists_without_a_table_of_the_lake_are_not_given_as_arrow(api):
    answer = api.get("/admin/markets", query_string={"format": "arrow"})
    assert answer.status_code == 400
    assert "format" in answer.json["errors"]


def test_a_name_is_explained_or_refused_with_those_near_it(api):
    assert api.json(f"/admin/names/{TICKER}") == {"kind": "ticker", "markets": 1, "first": TICKER}
    assert api.json("/admin/names/KXRAIN-26NOV21")["markets"] == MARKETS
    assert api.json("/admin/names/KXRAIN")["kind"] == "series"
    answer = api.get(f"/admin/names/{TICKER.lower()}1")
    assert answer.status_code == 404
    assert TICKER in answer.json["near"]


@pytest.mark.parametrize("form", ["csv", "ndjson", "arrow"])
def test_a_client_that_leaves_ends_the_query(form, changing):
    with connected(changing.dsn) as connection, connection, connection.cursor() as cursor:
        cursor.execute(MANY_TRADES, (TICKER,))
    asked = []

    def noting(function, *arguments, **named):
        asked.append(function)
        return function(*arguments, **named)

    client = service_over(Settings(production_dsn=changing.dsn), noting).test_client()
    answer = client.get("/admin/records/trades", query_string={"format": form})
    pieces = answer.iter_encoded()
    next(pieces)
    before = len(asked)
    assert before < 6  # what is known of them, and the first rows: the others are not read before they are wanted
    answer.close()
    assert len(asked) == before


def test_rows_of_all_pages_are_in_one_stream(changing):
    with connected(changing.dsn) as connection, connection, connection.cursor() as cursor:
        cursor.execute(MANY_TRADES, (TICKER,))
    whole = arrow_of(ask(changing, "/admin/records/trades", "arrow"))
    assert len(set(whole["trade_id"].to_pylist())) == whole.num_rows == 40_401
    assert arrow_of(ask(changing, "/admin/records/trades", "arrow", limit=12_345)).num_rows == 12_345
    assert isinstance(whole, pa.Table)
