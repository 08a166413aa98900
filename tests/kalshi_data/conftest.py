"""The records of two events of a series, with a hole in one of its books: as a lake, and as the admin service has them."""

import re

import pytest

import kalshi_data as kd
from app.postgres.databases import DatabaseKind
from app.runtime.secrets import TokenRole, new_token
from tests.kalshi_data.lakes import HOUR, NOON, TICKER, at, change, event, judged, market, snapshot, trade, write
from tests.kalshi_data.production import load
from tests.processes import running
from tests.servers import new_database

OTHER = "KXBTC-26NOV22-T100"
FOREIGN = "KXRAIN-26NOV21"
HOLE = (at(10.25), at(10.75))

TRADES = [trade(number, ticker) for number in (1, 5_000) for ticker in (TICKER, OTHER, FOREIGN)]
TRADES += [trade(2, "KXUNLISTED-1"), trade(-4_000, price_e6=999_999, size_e2=1)]
SNAPSHOTS = [snapshot(0, 10, [(400_000, 500)], [(550_000, 700)]), snapshot(10.75, 14, [(410_000, 100)], [])]
CHANGES = [change(2, 11), change(3.5, 12, 550_000, -700, yes_side=False), change(20, 15, 410_000, 23)]
MARKETS = [market(TICKER, "KXBTC-26NOV21"), market(OTHER, "KXBTC-26NOV22"), market(FOREIGN, FOREIGN)]
SETTLED = market(TICKER, "KXBTC-26NOV21", NOON + 24 * HOUR, result="yes", status="finalized")
EVENTS = [event("KXBTC-26NOV21", "KXBTC"), event("KXBTC-26NOV22", "KXBTC"), event(FOREIGN, "KXRAIN")]
SERIES = [{"ticker": "KXBTC", "title": "", "updated_at": NOON, "details": "{}"}]


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lake")
    write(folder, "trades", TRADES, "exchange_ts")
    write(folder, "orderbook_snapshots", SNAPSHOTS, "snapshot_ts")
    write(folder, "orderbook_deltas", CHANGES, "exchange_ts")
    coverage = [judged(NOON + number * HOUR, "trade") for number in (-2, -1, 0, 1)]
    coverage += [judged(NOON + number * HOUR, "orderbook_delta", TICKER) for number in (-1, 1)]
    coverage += [judged(NOON, "orderbook_delta", TICKER, [HOLE]), judged(NOON, "orderbook_delta", OTHER)]
    write(folder, "coverage", coverage, "hour_start")
    write(folder, "markets", MARKETS, "updated_at")
    write(folder, "markets", [SETTLED], "updated_at")
    write(folder, "events", EVENTS, "updated_at")
    write(folder, "series", SERIES, "updated_at")
    return folder


@pytest.fixture
def lake(folder):
    return kd.open(folder)


@pytest.fixture(scope="session")
def service(server, templates, tmp_path_factory):
    """The address of an admin service that has the same records, and a token of it."""
    dsn = new_database(server, templates[DatabaseKind.PRODUCTION])
    rows = {
        "trades": TRADES,
        "orderbook_snapshots": SNAPSHOTS,
        "orderbook_deltas": CHANGES,
        "series": SERIES,
        "events": EVENTS,
        "markets": [SETTLED, *MARKETS[1:]],
    }
    load(dsn, rows, hours=[NOON + number * HOUR for number in (-2, -1, 0, 1)], holes={(NOON, TICKER): HOLE})
    arguments = ("-m", "gunicorn", "admin:app", "--bind", "127.0.0.1:0")
    presented, token = new_token("ada", TokenRole.READ)
    tokens = tmp_path_factory.mktemp("service") / "tokens"
    tokens.write_text(f"{token.entry}\n")
    with running(*arguments, KALSHI_PRODUCTION_DSN=dsn.reveal(), KALSHI_ADMIN_TOKENS_FILE=tokens) as process:
        yield re.search(r"http://\S+:\d+", process.wait_for("Listening at"))[0], presented


@pytest.fixture(params=["lake", "connection"])
def records(request):
    """What has the calls that a lake and a connection share."""
    if request.param == "lake":
        return kd.open(request.getfixturevalue("folder"))
    return kd.connect(*request.getfixturevalue("service"))
