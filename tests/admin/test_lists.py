"""Lists page by page, narrowed, in lines; over a database with a bit of everything."""

import csv
import gzip
import io
import json

import pytest

from admin.api.listings import LISTINGS
from tests.admin.seeded import MARKETS, TICKER

PATHS = [f"/admin{listing.path}".replace("<ticker>", TICKER) for listing in LISTINGS]
LISTED = list(zip(LISTINGS, PATHS, strict=True))
# Of these the seeded database has what other tests have asked for.
MAYBE_EMPTY = {"/admin/jobs", "/admin/changes"}


def walk(api, path, name, limit, **query):
    rows, after = [], {}
    while True:
        page = api.json(path, limit=limit, **query, **after)
        rows += page[name]
        if page["next"] is None:
            return rows
        assert len(page[name]) == limit
        after = {"after": page["next"]}


@pytest.mark.parametrize(("listing", "path"), LISTED, ids=PATHS)
@pytest.mark.parametrize("order", ["asc", "desc"])
def test_pages_of_two_rows_are_together_the_whole_list(api, listing, path, order):
    most = {"limit": 1000, "order": order}
    whole = api.json(path, **most)
    rows = whole[listing.rows_name][:9]
    assert rows or path in MAYBE_EMPTY
    walked = walk(api, path, listing.rows_name, 2, order=order) if len(whole[listing.rows_name]) < 60 else rows
    assert [without_age(row) for row in walked[:9]] == [without_age(row) for row in rows]


def without_age(row):
    return {name: value for name, value in row.items() if name != "idle_seconds"}


@pytest.mark.parametrize(("listing", "path"), LISTED, ids=PATHS)
def test_rows_are_what_the_documentation_says(api, listing, path):
    declared = listing.row_schema()().fields
    for row in api.json(path)[listing.rows_name]:
        assert row.keys() == declared.keys()


@pytest.mark.parametrize(("listing", "path"), LISTED, ids=PATHS)
def test_lines_hold_the_same_rows_as_pages(api, listing, path):
    rows = api.json(path, limit=1000)[listing.rows_name]
    same = {"limit": 1000}
    found = api.get(path, query_string={"format": "ndjson", **same})
    lines = [json.loads(line) for line in found.text.splitlines()]
    assert [without_age(row) for row in lines] == [without_age(row) for row in rows]
    found = api.get(path, query_string=same, headers={"Accept": "text/csv"})
    table = list(csv.DictReader(io.StringIO(found.text)))
    assert len(table) == len(rows)
    assert all(set(row) == set(listing.row_schema()().fields) for row in table)


def test_lines_go_on_past_a_page(api):
    answer = api.get(f"/admin/markets/{TICKER}/trades", query_string={"format": "csv", "limit": 300, "order": "asc"})
    assert answer.mimetype == "text/csv"
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert len(rows) == 300
    assert rows[0]["trade_id"] == "trade-1"


@pytest.mark.parametrize(
    ("path", "query", "found"),
    [
        ("/admin/markets", {"status": "closed"}, MARKETS // 10),
        ("/admin/markets/active", {}, MARKETS - MARKETS // 10),
        ("/admin/markets", {"series": "KXRAIN", "event": "KXRAIN-26NOV21", "status": "closed"}, MARKETS // 10),
        ("/admin/markets", {"series": "KXSNOW"}, 0),
        ("/admin/markets", {"text": "rain 17"}, 2),  # 17 mm, and M170 to M179 by the number alone
        ("/admin/markets", {"text": TICKER}, 1),
        ("/admin/markets", {"text": "'; DROP TABLE markets; --"}, 0),
        ("/admin/markets", {"closes_before": "2020-01-01T00:00:00Z"}, 0),
        ("/admin/findings", {"open": "true", "explained": "false"}, 1),
        ("/admin/cursors", {"failing": "true"}, 1),
        ("/admin/coverage", {"state": "hole"}, 1),
        ("/admin/gaps", {"gatherer": "gatherer-1b"}, 0),
        ("/admin/losses", {"gatherer": "gatherer-1b", "table": "trades"}, 1),
        ("/admin/losses", {"gatherer": "gatherer-1a"}, 0),
        ("/admin/quarantine", {"table": "trades"}, 1),
    ],
)
def test_lists_are_narrowed(api, path, query, found):
    rows = next(value for value in api.json(path, limit=1000, **query).values() if isinstance(value, list))
    if query.get("text") == "rain 17":
        assert {"KXRAIN-26NOV21-M017", "KXRAIN-26NOV21-M170"} <= {row["ticker"] for row in rows}
    else:
        assert len(rows) == found


@pytest.mark.parametrize(
    ("path", "query", "field"),
    [
        ("/admin/markets", {"limit": "0"}, "limit"),
        ("/admin/markets", {"limit": "1001"}, "limit"),
        ("/admin/markets", {"limit": "10000001", "format": "csv"}, "limit"),
        ("/admin/markets", {"status": "lost"}, "status"),
        ("/admin/markets", {"text": "a\x00b"}, "text"),
        ("/admin/markets", {"event": "E" * 201}, "event"),
        ("/admin/markets", {"closes_after": "yesterday"}, "closes_after"),
        ("/admin/markets", {"closes_after": "0001-01-01T00:00:00+14:00"}, "closes_after"),
        ("/admin/coverage", {"from": "2026-11-21T16:00:00Z", "to": "2026-11-21T15:00:00Z"}, "from"),
        (f"/admin/markets/{TICKER}/candles", {"from": "2026-11-21T16:00:00Z", "to": "2026-11-21T16:00:00Z"}, "from"),
        ("/admin/markets", {"after": "a\x00b"}, "after"),
        ("/admin/markets", {"colour": "red"}, "colour"),
        ("/admin/gaps", {"after": "2026-11-21T15:00:00Z~1"}, "after"),
        ("/admin/quarantine", {"after": "99999999999999999999"}, "after"),
        ("/admin/quarantine", {"after": "first"}, "after"),
        (f"/admin/markets/{TICKER}/trades", {"after": "2026-11-21T15:00:00~x"}, "after"),
        (f"/admin/markets/{TICKER}/candles", {"interval": "1y"}, "interval"),
        (f"/admin/markets/{TICKER}/book", {"at": "noon"}, "at"),
        ("/admin/markets/" + "K" * 201, {}, "ticker"),
        ("/admin/markets/%00/trades", {}, "ticker"),
    ],
)
def test_what_cannot_be_asked_for_is_refused_by_the_field_s_name(api, path, query, field):
    answer = api.get(path, query_string=query)
    assert answer.status_code == 400, answer.text
    assert answer.mimetype == "application/problem+json"
    assert list(answer.json["errors"]) == [field]


@pytest.mark.parametrize("what", ["trades", "candles", "trades?format=csv"])
def test_a_mistyped_ticker_is_not_taken_for_a_market_that_never_traded(api, what):
    answer = api.get(f"/admin/markets/{TICKER.lower()}/{what}")
    assert answer.status_code == 404
    assert TICKER.lower() in answer.json["detail"]


def test_what_is_no_time_is_told_how_one_looks(api):
    answer = api.get(f"/admin/markets/{TICKER}/trades", query_string={"from": "yesterday"})
    assert "2026-11-21T15:00:00Z" in answer.json["errors"]["from"][0]


def test_what_has_not_changed_is_not_sent_again(api):
    first = api.get("/admin/series")
    again = api.get("/admin/series", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")


@pytest.mark.parametrize("form", ["json", "ndjson"])
def test_answers_are_compressed_for_those_who_can_read_that(api, form):
    query = {"limit": 200, "format": form}
    plain = api.get("/admin/markets", query_string=query)
    packed = api.get("/admin/markets", query_string=query, headers={"Accept-Encoding": "gzip"})
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.data) == plain.data
    assert len(packed.data) < len(plain.data) / 4
