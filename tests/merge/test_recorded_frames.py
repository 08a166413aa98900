"""What the exchange really sent, through decoder, rows and books, and as three made-up gatherers into one production.

The frames are no part of the project: KALSHI_RECORDED_FRAMES names a folder with `*.jsonl` and `*.jsonl.gz`. Each line is
a frame, or an object with `frame` and perhaps `received_ns`; `{"opened": true}` is a new connection.
"""

import gzip
import json
import os
import random
from collections import Counter, defaultdict
from decimal import Decimal
from functools import cache
from itertools import chain
from pathlib import Path

import pytest

from app.kalshi.messages import OrderbookDelta, OrderbookSnapshot, Ticker
from app.normalize.stream import TABLES
from app.postgres.connection import connected
from app.storage.tables import PRODUCTION_ORDERBOOK_DELTAS, PRODUCTION_TICKERS
from tests.merge.conftest import NAMES
from tests.normalize.frames import RECEIVED_US
from tests.normalize.reading import Reader
from tests.storage.reading import rows_of

FOLDER = os.environ.get("KALSHI_RECORDED_FRAMES")
pytestmark = pytest.mark.skipif(FOLDER is None, reason="KALSHI_RECORDED_FRAMES names no folder of recorded frames")
# Frames of one kind in a row are a stream; single frames of different years are not.
SINGLE = "single"
RECORDED = {"orderbook_delta": OrderbookDelta, "orderbook_snapshot": OrderbookSnapshot, "ticker": Ticker}
ROWS_AT_ONCE = 5_000
LOST = 0.2
E6, E2 = Decimal(1_000_000), Decimal(100)


def lines(path):
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
        yield from map(json.loads, stream)


@cache
def streams():
    """The frames of each connection with the times at which they were received, by file and number of connection."""
    found = defaultdict(list)
    for path in sorted(chain(Path(FOLDER).glob("*.jsonl"), Path(FOLDER).glob("*.jsonl.gz"))):
        number = 0
        for position, line in enumerate(lines(path)):
            number += bool(line.get("opened"))
            frame = line.get("frame", line)
            if "type" in frame:
                place = f"{path.name} {SINGLE} {position}" if "origin" in line else f"{path.name} {number}"
                found[place].append(
                    (frame, line.get("received_ns", RECEIVED_US * 1_000 + position * 1_000_000) // 1_000)
                )
    return found


def read(frames, loses=lambda _frame, _received_us: False):
    """The messages and rows, by column, of the frames that were not lost."""
    reader = Reader()
    for frame, received_us in frames:
        if not loses(frame, received_us):
            message, row = reader.read(json.dumps(frame).encode(), received_us)
            yield frame, message, row and dict(zip(TABLES[type(message)].column_names, row, strict=True)), reader


def jumps(frames):
    """How often the numbers of a subscription skip some: what the recorder itself has lost."""
    last, count = {}, 0
    for frame, _ in frames:
        if "seq" in frame:
            count += frame["seq"] != last.get(frame["sid"], frame["seq"] - 1) + 1
            last[frame["sid"]] = frame["seq"]
    return count


def test_every_frame_is_understood_and_only_skipped_numbers_are_gaps():
    kinds = Counter()
    for place, frames in streams().items():
        reader = None
        for frame, message, row, reader in read(frames):  # noqa: B007
            kinds[frame["type"]] += 1
            assert (row is not None) == (type(message) in TABLES), (frame, message)
            assert frame["type"] not in RECORDED or type(message) is RECORDED[frame["type"]]
        assert SINGLE in place or len(reader.gaps) == jumps(frames)
    assert kinds["orderbook_delta"] > 100


def test_rows_have_the_exact_values_of_their_frames():
    for frames in streams().values():
        for frame, message, row, _ in read(frames):
            said = frame["msg"]
            if type(message) is OrderbookDelta and "price_dollars" in said:
                shown = (Decimal(row["price_e6"]) / E6, Decimal(row["delta_e2"]) / E2, row["yes_side"])
                assert shown == (Decimal(said["price_dollars"]), Decimal(said["delta_fp"]), said["side"] == "yes")
                assert "ts_ms" not in said or row["exchange_ts"] == said["ts_ms"] * 1_000


def test_no_book_ever_holds_less_than_nothing():
    applied = 0
    for frames in streams().values():
        books, gaps = {}, 0
        for _, message, row, reader in read(frames):
            if len(reader.gaps) > gaps:
                books, gaps = {}, len(reader.gaps)
            if type(message) is OrderbookSnapshot:
                books[row["ticker"]] = {
                    (is_yes, price): size
                    for is_yes, side in ((True, "yes"), (False, "no"))
                    for price, size in zip(row[f"{side}_prices_e6"], row[f"{side}_sizes_e2"], strict=True)
                }
            elif type(message) is OrderbookDelta and row["ticker"] in books:
                book, level = books[row["ticker"]], (row["yes_side"], row["price_e6"])
                book[level] = book.get(level, 0) + row["delta_e2"]
                assert book[level] >= 0, row
                applied += 1
    assert applied


def loss_of(number, chance):
    """How the gatherer of this number loses frames: of each second one of the three receives everything."""

    def loses(frame, received_us):
        second = frame.get("msg", {}).get("ts_ms", received_us // 1_000) // 1_000
        return second % len(NAMES) != number and chance.random() < LOST

    return loses


@pytest.mark.parametrize(
    ("table", "kind"),
    [(PRODUCTION_ORDERBOOK_DELTAS, OrderbookDelta), (PRODUCTION_TICKERS, Ticker)],
    ids=["changes", "quotes"],
)
def test_three_gatherers_that_lose_frames_have_everything_together(recordings, production, table, kind):
    recording = recordings(table.name)
    for number, name in enumerate(NAMES):
        for row_batch in batches(kind, loss_of(number, random.Random(number))):
            assert recording.record(name, row_batch).quarantined == 0
    recording.catch_up()
    identity = [table.column_names.index(column) for column in table.identity]
    with connected(production) as connection:
        merged = Counter(tuple(row[place] for place in identity) for row in rows_of(connection, table))
    sent = Counter(
        tuple(row[column] for column in table.identity)
        for frames in streams().values()
        for _, message, row, _ in read(frames)
        if type(message) is kind and not row["ts_missing"]
    )
    assert merged == sent


def batches(kind, loses):
    batch = []
    for frames in streams().values():
        for _, message, row, _ in read(frames, loses):
            # Without a time of its own, a row has that of its arrival: copies differ.
            if type(message) is kind and not row["ts_missing"]:
                batch.append(tuple(row.values()))
                if len(batch) == ROWS_AT_ONCE:
                    yield batch
                    batch = []
    yield batch
