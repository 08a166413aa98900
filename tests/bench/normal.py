"""Frames to rows, beside what merely reading the JSON costs: in turns on the same frames, so that noise meets all alike."""

import json
import random
import time

from app.kalshi.messages import decode
from app.normalize.stream import Stream
from tests.normalize import frames

FRAMES = 20_000
ROUNDS = 9
MARKETS = 2_000


def deltas(seed):
    """Changes as they come: hot and quiet markets, mostly round counts, sometimes several of one action."""
    chance = random.Random(seed)
    clock = 4_000_000
    for seq in range(FRAMES):
        clock += chance.random() < 0.8
        count_e2 = chance.choice((100, 1_000, 10_000, chance.randrange(1, 5_000_000)))
        yield frames.delta(
            price_e6=chance.randrange(1, 100) * 10_000,
            delta_e2=chance.choice((-1, 1)) * count_e2,
            yes_side=chance.random() < 0.5,
            clock=clock,
            ts_ms=frames.NOON_MS + seq // 5,
            ticker=f"KXBENCH-26NOV01-T{min(int(chance.paretovariate(0.7)), MARKETS):05}",
            seq=seq,
        )


def run(report):
    measure(report, "delta", list(deltas(seed=1)), bar=3)
    measure(report, "trade", [frames.trade(trade_id=str(number)) for number in range(FRAMES)])
    measure(report, "ticker", [frames.ticker(volume_fp=f"{number}.00") for number in range(FRAMES)])


def measure(report, kind, written, bar=None):
    best_us = {}
    for _ in range(ROUNDS):
        for way, read in (("json_loads", json.loads), ("decode", decode), ("row", reader())):
            best_us[way] = min(best_us.get(way, float("inf")), microseconds(read, written))
    conditions = {"frames": len(written), "frame_bytes": len(written[0]), "best_of": ROUNDS}
    report(f"{kind}_json_loads_us", best_us["json_loads"], "µs/frame", **conditions)
    report(f"{kind}_msgspec_decode_us", best_us["decode"], "µs/frame", **conditions)
    report(f"{kind}_frame_to_row_us", best_us["row"], "µs/frame", bar=bar, at_least=False, **conditions)
    report(f"{kind}_row_to_json_loads", best_us["row"] / best_us["json_loads"], "ratio", **conditions)


def reader():
    """A fresh stream each time: what it remembers starts empty."""
    through = Stream(9)
    return lambda frame: through.read(frame, frames.RECEIVED_US)


def microseconds(read, written):
    start = time.perf_counter()
    for frame in written:
        read(frame)
    return (time.perf_counter() - start) / len(written) * 1e6
