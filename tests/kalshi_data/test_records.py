"""Records in dollars and contracts: exact in every library, limited by name and time, and with their coverage."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pyarrow as pa
import pytest

import kalshi_data as kd
from kalshi_data.schema import COLUMNS
from tests.kalshi_data.conftest import FOREIGN, HOLE, OTHER
from tests.kalshi_data.lakes import NOON, TICKER, trade, write


def test_dollars_and_contracts_are_exact(records):
    table = records.trades(TICKER, end=NOON).to_arrow()
    assert table["yes_price"].to_pylist() == [Decimal("0.999999")]
    assert table["size"].to_pylist() == [Decimal("0.01")]
    assert table.schema.field("yes_price").metadata[b"unit"] == b"dollars"


@pytest.mark.parametrize("value", [0, 1, -1, 2**63 - 1, -(2**63)])
def test_no_number_that_a_column_can_hold_is_rounded(value, tmp_path):
    write(tmp_path, "trades", [trade(0, size_e2=value)], "exchange_ts")
    lake = kd.open(tmp_path)
    assert lake.trades().to_arrow()["size"][0].as_py() == Decimal(value).scaleb(-2)
    assert lake.trades().to_df()["size"].iloc[0] == Decimal(value).scaleb(-2)
    assert lake.trades().to_polars()["size"][0] == Decimal(value).scaleb(-2)


def test_decimals_are_the_same_without_numpy(lake, monkeypatch):
    table = lake.book_changes().to_arrow()
    monkeypatch.setattr("kalshi_data.records._numpy", lambda: None)
    assert lake.book_changes().to_arrow().equals(table)
    assert table["delta"].to_pylist() == [Decimal("1.00"), Decimal("-7.00"), Decimal("0.23")]


def test_integers_are_those_of_the_files(records):
    table = records.trades(TICKER, end=NOON).to_arrow(integers=True)
    assert table["yes_price_e6"].to_pylist() == [999_999]
    assert set(table.schema.names) - {"in_hole"} <= set(COLUMNS)


def test_the_frames_of_all_libraries_are_the_same(records):
    trades = records.trades("KXBTC")
    arrow, pandas, polars = trades.to_arrow(), trades.to_df(), trades.to_polars()
    assert arrow.num_rows == len(pandas) == len(polars) == 5
    assert pandas["yes_price"].tolist() == polars["yes_price"].to_list() == arrow["yes_price"].to_pylist()
    assert pandas["exchange_ts"].tolist() == arrow["exchange_ts"].to_pylist()


def test_floats_are_the_nearest_numbers(records):
    frame = records.trades(TICKER).to_df(floats=True)
    assert frame["yes_price"].dtype == "float64"
    assert sorted(frame["yes_price"]) == [0.42, 0.42, 0.999999]


@pytest.mark.parametrize(
    ("name", "tickers"),
    [
        (TICKER, {TICKER}),
        ("KXBTC-26NOV21", {TICKER}),
        ("KXBTC", {TICKER, OTHER}),
        (FOREIGN, {FOREIGN}),
        (None, {TICKER, OTHER, FOREIGN, "KXUNLISTED-1"}),
    ],
)
def test_a_name_is_a_market_an_event_or_a_series(name, tickers, records):
    assert set(records.trades(name).to_arrow()["ticker"].to_pylist()) == tickers


@pytest.mark.parametrize("call", ["trades", "book_changes", "quotes", "coverage"])
def test_a_mistyped_name_is_an_error_that_names_the_nearest(call, records):
    with pytest.raises(kd.UnknownNameError, match=r"did you mean KXBTC-26NOV2.-T100") as error:
        getattr(records, call)("kxbtc-26NOV21-T10")
    assert TICKER in error.value.near


def test_a_lake_without_reference_data_knows_the_names_that_its_rows_have(tmp_path):
    write(tmp_path, "trades", [trade(0), trade(1, OTHER)], "exchange_ts")
    lake = kd.open(tmp_path)
    assert lake.trades("KXBTC").to_arrow().num_rows == 2
    assert lake.trades("KXBTC-26NOV22").to_arrow()["ticker"].to_pylist() == [OTHER]
    with pytest.raises(kd.UnknownNameError, match=f"did you mean {TICKER}"):
        lake.trades("KXBTC-26NOV21-T1000")


@pytest.mark.parametrize(
    ("start", "end", "rows"),
    [
        ("2026-11-21", "2026-11-22", 3),
        (date(2026, 11, 21), date(2026, 11, 22), 3),
        ("2026-11-21T12:00Z", None, 2),
        ("2026-11-21T12:00:01Z", "2026-11-21T13:23:20Z", 1),
        ("2026-11-21T13:00:01+01:00", "2026-11-21T14:23:20+01:00", 1),
        (datetime(2026, 11, 21, 12), datetime(2026, 11, 21, 12, 30, tzinfo=UTC), 1),  # noqa: DTZ001 - one without a zone
        (None, NOON, 1),
        ("2026-11-22", "2026-11-23", 0),
        ("2020-01-01", "2030-01-01", 3),
    ],
)
def test_a_start_is_included_and_an_end_is_not(start, end, rows, records):
    assert records.trades(TICKER, start, end).to_arrow().num_rows == rows


@pytest.mark.parametrize(("start", "end"), [("2026-11-22", "2026-11-21"), ("2026-11-21", "2026-11-21"), ("soon", None)])
def test_times_that_mean_nothing_are_errors(start, end, records):
    with pytest.raises(kd.LakeError, match=r"is not before|is no time"):
        records.trades(TICKER, start, end)


def test_rows_of_several_markets_come_by_time_if_asked(records):
    times = records.trades().to_arrow(by_time=True)["exchange_ts"].to_pylist()
    assert times == sorted(times)


def test_a_frame_carries_its_holes(records):
    changes = records.book_changes(TICKER, "2026-11-21T12:00Z", "2026-11-21T13:00Z")
    assert changes.coverage.state == "hole"
    assert changes.coverage.holes == (HOLE,)
    assert changes.to_df().attrs["holes"] == [[bound.isoformat() for bound in HOLE]]
    later = records.book_changes(TICKER, "2026-11-21T12:30Z", "2026-11-21T13:00Z").coverage
    assert (later.state, later.holes) == ("complete", ())


def test_hours_that_are_not_judged_are_unknown(records):
    found = records.trades(TICKER, "2026-11-21T13:00Z", "2026-11-21T15:00Z").coverage
    assert found.state == "unknown"
    assert found.unknown == ((NOON.replace(hour=14), NOON.replace(hour=15)),)
    assert records.trades(TICKER).coverage.state == "complete"


def test_the_last_state_of_a_market_counts(records):
    markets = records.markets(series="KXBTC").to_arrow().to_pylist()
    assert {row["ticker"]: (row["status"], row["result"]) for row in markets} == {
        TICKER: ("finalized", "yes"),
        OTHER: ("active", ""),
    }
    assert records.markets(series="KXBTC", status="active").to_arrow()["ticker"].to_pylist() == [OTHER]
    assert records.markets(event="KXBTC-26NOV22").to_arrow()["ticker"].to_pylist() == [OTHER]
    assert isinstance(records.markets().to_arrow(), pa.Table)
    with pytest.raises(kd.UnknownNameError):
        records.markets(series="KXBTX")


def test_the_folders_of_a_file_are_columns(lake):
    table = lake.dataset("trades").to_table(["date", "hour"])
    assert set(zip(table["date"].to_pylist(), table["hour"].to_pylist(), strict=True)) == {
        (date(2026, 11, 21), hour) for hour in (10, 12, 13)
    }
    days = set(lake.dataset("markets").to_table(["date"])["date"].to_pylist())
    assert days == {date(2026, 11, 21), date(2026, 11, 22)}


def test_a_market_that_the_reference_data_lacks_is_known_by_its_rows(records):
    assert records.trades("KXUNLISTED-1").to_arrow()["ticker"].to_pylist() == ["KXUNLISTED-1"]


def test_a_folder_without_a_lake_is_an_error_that_says_what_is_missing(tmp_path, monkeypatch):
    with pytest.raises(kd.NoLakeError, match="none of processed"):
        kd.open(tmp_path)
    monkeypatch.setenv("KALSHI_DATA_DIR", str(tmp_path))
    with pytest.raises(kd.NoLakeError, match="make demo"):
        kd.demo()


def test_the_demo_s_lake_is_found(tmp_path, monkeypatch):
    write(tmp_path / "demo/lake", "trades", [trade(0)], "exchange_ts")
    monkeypatch.setenv("KALSHI_DATA_DIR", str(tmp_path))
    assert kd.demo().trades().to_arrow().num_rows == 1


def test_a_damaged_file_is_an_error_that_says_where(tmp_path):
    path = tmp_path / "processed/trades/date=2026-11-21/hour=12/part-0.parquet"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"no Parquet")
    with pytest.raises(kd.LakeError, match="cannot be read"):
        kd.open(tmp_path).trades().to_arrow()
