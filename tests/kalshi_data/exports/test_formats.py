"""Each format of export is loaded by the package that it is for, and at every snapshot its book is the one that the lake has."""

import json
import subprocess

import pytest

import kalshi_data as kd
from kalshi_data.exports.command import main
from kalshi_data.times import us_of
from tests.code_base.sources import ROOT
from tests.kalshi_data.exports.market_day import END, HOLES, START, MarketDay
from tests.kalshi_data.lakes import TICKER, at

PYTHON = ROOT / ".backtesters/bin/python"
BACKTESTERS = ROOT / "tests/kalshi_data/exports/backtesters.py"
needs_backtesters = pytest.mark.skipif(
    not PYTHON.exists(), reason="the backtesters are not installed here: make backtesters installs them"
)
CONVERTED_UNTIL = at(38_000)


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lake")
    MarketDay(seed=17).write(folder)
    return kd.open(folder)


@pytest.fixture(scope="module")
def moments(lake):
    """Every snapshot's, and times inside holes and right after them."""
    snapshots = lake.dataset("orderbook_snapshots").to_table(["snapshot_ts"])["snapshot_ts"].to_pylist()
    around = [at(second + late) for hole in HOLES for second in hole for late in (0, 0.5)]
    return sorted({*snapshots, *around, *(START + (END - START) * number / 50 for number in range(1, 50))})


@pytest.fixture(scope="module")
def expected(lake, moments):
    return [yes_book(lake.book(TICKER, moment)) for moment in moments]


def yes_book(book):
    levels = {} if book.state == "hole" else book.levels
    return sorted([yes, price if yes else 1_000_000 - price, size] for (yes, price), size in levels.items())


def loaded(program, folder, moments):
    """What the package made of the export."""
    asked = json.dumps([us_of(moment) for moment in moments])
    command = [PYTHON, BACKTESTERS, program, folder, TICKER]
    done = subprocess.run(list(map(str, command)), input=asked, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def exported(lake, format_name, folder):
    arguments = [format_name, TICKER, "--lake", lake.location, "--from", START.isoformat(), "--to", END.isoformat()]
    assert main([*arguments, "--into", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def trades(lake):
    rows = lake.trades(TICKER).to_arrow(integers=True).to_pylist()
    return [[row["trade_id"], row["taker_yes"], row["yes_price_e6"], row["size_e2"]] for row in rows]


def test_the_market_has_holes_and_enough_snapshots(lake, moments, expected):
    assert len(lake.coverage(TICKER, START, END).holes) == len(HOLES)
    assert len(moments) > 60
    assert expected.count([]) >= 2 * len(HOLES)
    assert max(map(len, expected)) > 20


@needs_backtesters
def test_nautilus_trader_has_the_lake_s_books(lake, moments, expected, trades, tmp_path, capsys):
    found = loaded("nautilus", exported(lake, "nautilus", tmp_path), moments)
    assert found["books"] == expected
    assert found["trades"] == trades
    assert found["last_book"] == yes_book(lake.book(TICKER, END))


@needs_backtesters
def test_hftbacktest_has_the_lake_s_books(lake, moments, expected, trades, tmp_path):
    found = loaded("hftbacktest", exported(lake, "hftbacktest", tmp_path), moments)
    assert found["books"] == expected
    assert found["trades"] == [trade[1:] for trade in trades]


@needs_backtesters
def test_files_that_tardis_dev_downloads_have_the_lake_s_books(lake, moments, expected, trades, tmp_path):
    found = loaded("tardis-csv", exported(lake, "tardis-csv", tmp_path), moments)
    assert found["books"] == expected
    assert found["trades"] == trades
    # hftbacktest's converter cuts a later snapshot that is larger than the first one.
    until = sum(moment < at(HOLES[0][1]) for moment in moments)
    assert found["converted"][:until] == expected[:until]
