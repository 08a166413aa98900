"""A market through time: depth step by step, and an hour of it as a file."""

import io
import random
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
from psycopg2.extras import execute_values
from pyarrow import parquet

from app.postgres.connection import connected
from kalshi_data.layout import EVENT_TABLES, IDENTITY
from kalshi_data.schema import schema_of
from tests.admin.seeded import TICKER
from tests.gatherers import execute

HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)
START = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - 3 * HOUR
HOLES = [(START + 301 * SECOND, START + 307.5 * SECOND), (START + 2_000 * SECOND, START + 2_000.4 * SECOND)]


def put_snapshot(dsn, at, clock, levels):
    yes, no = ({price: size for (side, price), size in levels.items() if side is wanted} for wanted in (True, False))
    execute(
        dsn,
        "INSERT INTO orderbook_snapshots (snapshot_ts, received_at, clock, levels_digest, ticker, source, "
        "yes_prices_e6, yes_sizes_e2, no_prices_e6, no_sizes_e2) VALUES (%s, %s, %s, 0, %s, 'ws', %s, %s, %s, %s)",
        (at, at, clock, TICKER, list(yes), list(yes.values()), list(no), list(no.values())),
    )


def put_changes(dsn, changes):
    with connected(dsn) as connection, connection, connection.cursor() as cursor:
        execute_values(
            cursor,
            "INSERT INTO orderbook_deltas (exchange_ts, received_at, clock, yes_side, price_e6, delta_e2, nth, "
            "after_gap, ts_missing, ticker) VALUES %s",
            [(at, at, clock, *level, delta_e2, 0, False, False, TICKER) for at, clock, level, delta_e2 in changes],
        )


@pytest.fixture
def eventful(changing):
    """An hour of which some changes are missing in two holes, after each of which comes a snapshot."""
    dsn, chance = changing.dsn, random.Random(7)
    execute(dsn, "DELETE FROM orderbook_deltas")
    execute(dsn, "DELETE FROM orderbook_snapshots")
    execute(
        dsn,
        "INSERT INTO coverage (hour, channel, ticker, state, holes, repaired, repaired_by) "
        "SELECT %s, 'orderbook_delta', %s, 'hole', range_agg(tstzrange(since, until)), '{}', '{}' "
        "FROM unnest(%s, %s) AS hole (since, until)",
        (START, TICKER, *map(list, zip(*HOLES, strict=True))),
    )
    book = {(side, price * 10_000): 500 for side in (True, False) for price in range(30, 45)}
    put_snapshot(dsn, START + SECOND, 0, book)
    ends, changes = [end for _, end in HOLES], []
    for clock in range(1, 700):
        at = START + 5 * clock * SECOND + timedelta(milliseconds=chance.randrange(2_000))
        if ends and at >= ends[0]:
            put_snapshot(dsn, ends.pop(0), clock - 1, {level: size for level, size in book.items() if size})
        level = (chance.random() < 0.5, chance.randrange(30, 45) * 10_000)
        delta_e2 = chance.choice([-book[level], 100, 250]) or 300
        book[level] += delta_e2
        if not any(since <= at < until for since, until in HOLES):
            changes.append((at, clock, level, delta_e2))
    put_changes(dsn, changes)
    return changing


def test_each_step_is_the_book_of_its_time_and_a_hole_has_none(eventful):
    period = {"from": (START + 2 * SECOND).isoformat(), "to": (START + HOUR).isoformat()}
    answer = eventful.json(f"/admin/markets/{TICKER}/depth", steps=97, **period)
    assert [tuple(map(datetime.fromisoformat, hole)) for hole in answer["holes"]] == HOLES[::-1]
    assert len(answer["steps"]) == 98
    compared = 0
    for step in answer["steps"]:
        at = datetime.fromisoformat(step["at"])
        book = eventful.json(f"/admin/markets/{TICKER}/book", at=at.isoformat())
        if book["state"] == "hole":
            assert set(step.values()) == {step["at"], None}
            continue
        assert step["yes_bid_e6"] == book["yes"][0]["price_e6"]
        assert step["yes_ask_e6"] == 1_000_000 - book["no"][0]["price_e6"]
        depths = [sum(level["size_e2"] for level in book[side]) for side in ("yes", "no")]
        assert [step["yes_bid_depth_e2"], step["yes_ask_depth_e2"]] == depths
        compared += 1
    assert compared > 90


def test_what_lies_before_the_record_is_told_apart_from_outages(eventful):
    began = START + 304 * SECOND
    execute(eventful.dsn, "UPDATE gatherer_runs SET started_at = %s", (began,))
    period = {"from": START.isoformat(), "to": (START + HOUR).isoformat()}
    answer = eventful.json(f"/admin/markets/{TICKER}/depth", **period)
    assert len(answer["holes"]) == 2
    # To the hole's end: the market's own record began with the snapshot after it.
    assert [tuple(map(datetime.fromisoformat, part)) for part in answer["unrecorded"]] == HOLES[:1]
    assert eventful.json(f"/admin/markets/{TICKER}/candles", **period)["unrecorded"] == []
    assert ": hole, 0.4 s missing" in eventful.get(f"/markets/{TICKER}/parts/hours").text
    execute(eventful.dsn, "UPDATE gatherer_runs SET started_at = %s", (HOLES[1][1] - timedelta(milliseconds=1),))
    assert ": before the record began" in eventful.get(f"/markets/{TICKER}/parts/hours").text


def test_before_the_first_snapshot_there_is_no_depth_and_later_than_known_no_step(eventful):
    first = eventful.json(f"/admin/markets/{TICKER}/depth", steps=1, to=(START + 5 * SECOND).isoformat())["steps"]
    assert [step["yes_bid_depth_e2"] is None for step in first] == [True, False]
    later = (datetime.now(UTC) + HOUR).isoformat()
    latest = eventful.json(f"/admin/markets/{TICKER}/depth", steps=2, to=later)
    assert latest["steps"][-1]["at"] == latest["known_until"]
    assert eventful.json(f"/admin/markets/{TICKER}/depth", **{"from": later})["steps"] == []
    long = eventful.get(f"/admin/markets/{TICKER}/depth", query_string={"from": (START - 25 * HOUR).isoformat()})
    assert (long.status_code, long.json["detail"]) == (400, "The period is too long: request a day at most.")


def test_an_hour_is_a_file_as_the_lake_has_it(eventful):
    answer = eventful.get(f"/admin/markets/{TICKER}/hour/orderbook_deltas", query_string={"hour": START.isoformat()})
    table = parquet.read_table(io.BytesIO(answer.data))
    assert table.schema.equals(schema_of("orderbook_deltas"))
    assert table.num_rows == len(table.group_by(["clock"]).aggregate([]))
    order = [(name, "ascending") for name in IDENTITY["orderbook_deltas"]]
    assert table.equals(table.sort_by(order))
    changes = eventful.json(f"/admin/markets/{TICKER}/changes", limit=1_000, order="asc")["changes"]
    assert [row["delta_e2"] for row in changes] == table["delta_e2"].to_pylist()
    assert answer.headers["Holes"].count("/") == 2
    assert table.schema.metadata[b"holes"].decode() == answer.headers["Holes"]
    assert answer.headers["Content-Disposition"].endswith(f"orderbook_deltas-{START:%Y-%m-%dT%H}.parquet")


@pytest.mark.parametrize("table", EVENT_TABLES)
def test_every_table_comes_as_a_file(api, table):
    hour = datetime.now(UTC) - HOUR
    answer = api.get(f"/admin/markets/{TICKER}/hour/{table}", query_string={"hour": hour.isoformat()})
    assert pa.types.is_timestamp(parquet.read_schema(io.BytesIO(answer.data)).field("received_at").type)


@pytest.mark.parametrize(
    ("table", "ticker", "query", "status"),
    [
        *(("trades", TICKER, {}, 400), ("trades", "KXNOPE", {"hour": "2026-11-21T15:00Z"}, 404)),
        *(("nothing", TICKER, {"hour": "2026-11-21T15:00Z"}, 404),),
    ],
)
def test_what_is_no_hour_of_a_market_is_refused(api, table, ticker, query, status):
    assert api.get(f"/admin/markets/{ticker}/hour/{table}", query_string=query).status_code == status
