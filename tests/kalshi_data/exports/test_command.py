"""kalshi-data export-to: which markets and days it writes, and what it says when it cannot."""

import csv
import gzip
import json

import pytest
from click.testing import CliRunner

from app.cli.lake import EXPORT_FORMATS, export_to
from kalshi_data.exports.command import main
from kalshi_data.exports.export import FORMATS
from tests.kalshi_data.lakes import TICKER


def run(folder, *arguments):
    return main([*arguments, "--lake", str(folder)])


def test_an_event_is_all_of_its_markets(folder, tmp_path, capsys):
    assert run(folder, "csv", "KXBTC", "--into", str(tmp_path)) == 0
    written = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.csv"))
    assert written == ["KXBTC-26NOV21-T100/2026-11-21.csv", "KXBTC-26NOV22-T100/2026-11-21.csv"]
    assert capsys.readouterr().out.splitlines()[0] == f"{TICKER}: 3 book changes, 3 trades, 1 holes"


def test_plain_csv_has_everything_in_order(folder, tmp_path):
    run(folder, "csv", TICKER, "--from", "2026-11-21T12:00Z", "--to", "2026-11-21T13:00Z", "--into", str(tmp_path))
    with (tmp_path / TICKER / "2026-11-21.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    brief = [(row["event"], row["side"], row["price"], row["size"]) for row in rows]
    assert brief == [
        ("reset", "", "", ""),
        ("level", "bid", "0.400000", "5.00"),
        ("level", "ask", "0.450000", "7.00"),
        ("trade", "buy", "0.420000", "1.50"),
        ("change", "bid", "0.400000", "6.00"),
        ("change", "ask", "0.450000", "0.00"),
        ("reset", "", "", ""),
        ("reset", "", "", ""),
        ("level", "bid", "0.410000", "1.00"),
        ("change", "bid", "0.410000", "1.23"),
    ]
    assert rows[3]["time"] == "2026-11-21 12:00:01.000000Z"
    assert (rows[3]["trade_id"], rows[4]["clock"]) == (f"{TICKER} 1", "11")


def test_what_may_be_missing_is_written_beside_the_files(folder, tmp_path):
    run(folder, "csv", TICKER, "--from", "2026-11-21T12:00Z", "--to", "2026-11-21T13:00Z", "--into", str(tmp_path))
    [path] = (tmp_path / "coverage").iterdir()
    told = json.loads(path.read_text())
    assert told["books"]["holes"] == [["2026-11-21T12:00:10.250000+00:00", "2026-11-21T12:00:10.750000+00:00"]]
    assert (told["trades"]["coverage"], told["smallest_price_step_e6"]) == ("complete", 10_000)


def test_tardis_files_of_a_day_are_all_there_even_if_one_has_no_rows(folder, tmp_path):
    run(folder, "tardis-csv", TICKER, "--into", str(tmp_path))
    names = {path.parts[-5] for path in tmp_path.rglob("*.csv.gz")}
    assert names == {"incremental_book_L2", "trades", "quotes"}
    with gzip.open(next((tmp_path / "kalshi/quotes").rglob("*.csv.gz")), "rt") as lines:
        assert lines.read() == ("exchange,symbol,timestamp,local_timestamp,ask_amount,ask_price,bid_price,bid_amount\n")


@pytest.mark.parametrize("format_name", FORMATS)
def test_no_file_is_replaced(folder, tmp_path, capsys, format_name):
    assert run(folder, format_name, TICKER, "--into", str(tmp_path)) == 0
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert run(folder, format_name, TICKER, "--into", str(tmp_path)) == 1
    assert "is there already" in capsys.readouterr().err
    after = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert {path: after[path] for path in before} == before


def test_a_mistyped_name_is_an_error_with_suggestions(folder, tmp_path, capsys):
    assert run(folder, "csv", "KXBTV", "--into", str(tmp_path)) == 1
    assert "did you mean KXBTC" in capsys.readouterr().err


def test_a_time_without_rows_is_an_error(folder, tmp_path, capsys):
    assert run(folder, "csv", TICKER, "--from", "2027-01-01", "--to", "2027-01-02", "--into", str(tmp_path)) == 1
    assert "no rows of that time" in capsys.readouterr().err


def test_a_format_that_there_is_not_is_a_wrong_argument(folder, tmp_path, capsys):
    assert run(folder, "feather", TICKER, "--into", str(tmp_path)) == 2
    assert "nautilus" in capsys.readouterr().err


def test_the_platform_s_list_of_commands_has_the_same_formats_and_does_the_same(folder, tmp_path):
    assert sorted(FORMATS) == sorted(EXPORT_FORMATS)
    start = ("--from", "2026-11-21T12:00Z", "--lake", str(folder), "--into", str(tmp_path))
    done = CliRunner().invoke(export_to, ["csv", TICKER, *start])
    assert done.exit_code == 0, done.output
    assert list(tmp_path.glob("*/*.csv"))
