import io
import os
import pty
import threading

import pytest
from rich.console import Console

from app.demo.screen import WIDTH, RecordState, Sample, Screen, block_of

ADDRESSES = [("Status page", "http://127.0.0.1:43210/"), ("one", "http://127.0.0.1:43211/metrics")]
RECORD = RecordState(
    "Recording 1,234 markets · 3 of 3 gatherers · complete for 2 min · proven up to 1.0 s ago · merged 0.2 s behind", 0
)
BEFORE = Sample(
    100.0,
    {"one": {"kalshi_messages_total": 1_000, "kalshi_rows_stored_total": 500}, "two": {"kalshi_messages_total": 9_000}},
    {"kalshi_merge_rows_new_total": 100},
)


def lines(record=RECORD, **others):
    now = {"at_seconds": 102.0, "gatherers": BEFORE.gatherers, "deduplicator": BEFORE.deduplicator}
    console = Console(file=io.StringIO(), width=WIDTH)
    console.print(block_of(ADDRESSES, 133.0, BEFORE, Sample(**now | others), record))
    return console.file.getvalue().splitlines()


def line_of(name, **others):
    return next(line.split() for line in lines(**others) if line.startswith(f"{name} ") and "http" not in line)


def test_counters_are_shown_as_rates():
    one = {"kalshi_messages_total": 1_600, "kalshi_rows_stored_total": 900}
    assert line_of("one", gatherers={**BEFORE.gatherers, "one": one})[1:3] == ["300", "200"]


def test_one_that_began_anew_has_no_rate_rather_than_a_negative_one():
    assert line_of("two", gatherers={**BEFORE.gatherers, "two": {"kalshi_messages_total": 5}})[1] == "0"


def test_one_that_does_not_answer_is_away():
    assert line_of("one", gatherers={**BEFORE.gatherers, "one": {}}) == ["one", "away"]
    assert line_of("production", deduplicator={}) == ["production", "away"]


def test_the_first_line_says_how_long_it_runs_and_what_is_lost():
    assert lines()[0].startswith("3 min elapsed · 0 lost so far")
    assert "2 outages so far, declared" in lines(record=RECORD._replace(outages=2))[0]
    assert "Recording 1,234 markets" in lines()[-2]


def test_it_fits_a_small_terminal_however_large_the_figures_are():
    names = ("kalshi_messages_total", "kalshi_rows_stored_total", "kalshi_book_markets_heard", "kalshi_buffer_rows")
    metrics = {**dict.fromkeys(names, 99_999_999), "kalshi_spool_bytes": 9e11}
    gatherers = {"gatherer-1a": metrics, "gatherer-1b": metrics, "gatherer-1c": metrics}
    none = {name: {} for name in gatherers}
    console = Console(file=io.StringIO(), width=WIDTH)
    now = Sample(101.0, gatherers, {"kalshi_merge_rows_new_total": 99_999_999})
    block = block_of([*ADDRESSES, *ADDRESSES, *ADDRESSES], 5.0, BEFORE._replace(gatherers=none), now, RECORD)
    console.print(block)
    shown = console.file.getvalue().splitlines()
    assert max(map(len, shown)) <= WIDTH
    assert len(shown) <= 20
    assert sum("99,999,999" in line for line in shown) >= 3


@pytest.fixture
def terminal():
    """A terminal of 80 columns, and what was written to it."""
    ours, theirs = pty.openpty()
    written = []

    def read():
        while True:
            try:
                part = os.read(ours, 65_536)
            except OSError:  # the other end is closed
                return
            if not part:
                return
            written.append(part)

    reader = threading.Thread(target=read)
    reader.start()
    with os.fdopen(theirs, "w") as stream:
        yield stream, lambda: (stream.close(), reader.join(), b"".join(written).decode())[-1]
    os.close(ours)


def test_what_happens_is_told_above_the_block_and_the_block_goes_in_the_end(terminal, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", "24")
    stream, text = terminal
    screen = Screen(stream)
    assert screen.is_live
    with screen.block():
        screen.show("figures")
        screen.tell("something [bold]happens[/bold] " + "x" * 100)
        screen.show("other figures")
    screen.tell("in the end")
    said = text()
    assert said.index("figures") < said.index("something [bold]happens[/bold]") < said.index("other figures")
    assert said.rstrip().endswith("in the end")


def test_elsewhere_than_on_a_terminal_only_lines_are_written():
    stream = io.StringIO()
    screen = Screen(stream)
    with screen.block():
        screen.show("figures")
        screen.tell("a line " + "x" * 200)
    assert stream.getvalue() == "a line " + "x" * 200 + "\n"
