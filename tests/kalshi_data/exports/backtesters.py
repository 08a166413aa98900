"""Loads an export with the package that it is for, and prints the books that the package rebuilds, as JSON.

Runs in .backtesters/, which has these packages and nothing of ours. Standard input has the moments, in microseconds; a
book is a list of [is_bid, price in millionths of a dollar, size in hundredths of a contract].
"""

import csv
import gzip
import json
import sys
from contextlib import redirect_stdout
from datetime import date, timedelta
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

TYPES = ["incremental_book_L2", "trades", "quotes"]


def level(is_bid, price, size):
    return [is_bid, round(float(price) * 1_000_000), round(float(size) * 100)]


def books_of_deltas(deltas, instrument_id, moments):
    from nautilus_trader.model.book import OrderBook
    from nautilus_trader.model.enums import BookType

    book, waiting = OrderBook(instrument_id, BookType.L2_MBP), list(deltas)
    waiting.reverse()
    for moment in moments:
        while waiting and waiting[-1].ts_event <= moment * 1_000 + 999:
            book.apply_delta(waiting.pop())
        sides = ((True, book.bids()), (False, book.asks()))
        yield sorted(level(is_bid, each.price, each.size()) for is_bid, side in sides for each in side)


def nautilus(folder, ticker, moments):
    from nautilus_trader.persistence.catalog import ParquetDataCatalog

    catalog = ParquetDataCatalog(folder)
    (instrument,) = catalog.instruments(instrument_ids=[f"{ticker}.KALSHI"])
    deltas = catalog.order_book_deltas(instrument_ids=[str(instrument.id)])
    trades = catalog.trade_ticks(instrument_ids=[str(instrument.id)])
    assert [each.ts_init for each in deltas] == sorted({each.ts_init for each in deltas})
    return {
        "books": list(books_of_deltas(deltas, instrument.id, moments)),
        "trades": [
            [each.trade_id.value, *level(each.aggressor_side.name == "BUYER", each.price, each.size)] for each in trades
        ],
        "last_book": run_backtest(instrument, deltas, trades),
    }


def run_backtest(instrument, deltas, trades):
    """The book that a strategy sees at the end of a backtest."""
    from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
    from nautilus_trader.config import LoggingConfig
    from nautilus_trader.model.currencies import USD
    from nautilus_trader.model.enums import AccountType, BookType, OmsType
    from nautilus_trader.model.objects import Money
    from nautilus_trader.trading.strategy import Strategy

    class Watcher(Strategy):
        def on_start(self):
            self.subscribe_order_book_deltas(instrument.id, BookType.L2_MBP)

    engine = BacktestEngine(BacktestEngineConfig(logging=LoggingConfig(bypass_logging=True)))
    engine.add_venue(
        instrument.venue, OmsType.NETTING, AccountType.CASH, [Money(1_000, USD)], book_type=BookType.L2_MBP
    )
    engine.add_instrument(instrument)
    engine.add_data(deltas)
    engine.add_data(trades)
    engine.add_strategy(Watcher())
    engine.run()
    book = engine.cache.order_book(instrument.id)
    sides = ((True, book.bids()), (False, book.asks()))
    found = sorted(level(is_bid, each.price, each.size()) for is_bid, side in sides for each in side)
    engine.dispose()
    return found


def hftbacktest(folder, ticker, moments):
    import numpy as np
    from hftbacktest import BacktestAsset, HashMapMarketDepthBacktest
    from hftbacktest.data.validation import validate_event_order
    from numba import njit

    files = sorted(map(str, Path(folder).glob(f"{ticker}_*.npz")))
    events = np.concatenate([np.load(file)["data"] for file in files])
    validate_event_order(events)

    @njit
    def sizes(depth, ticks):
        found = np.zeros((2, ticks))
        for tick in range(ticks):
            found[0, tick] = depth.ask_qty_at_tick(tick)
            found[1, tick] = depth.bid_qty_at_tick(tick)
        return found

    asset = (
        BacktestAsset()
        .data(files)
        .linear_asset(1.0)
        .constant_order_latency(0, 0)
        .risk_adverse_queue_model()
        .no_partial_fill_exchange()
        .trading_value_fee_model(0, 0)
        .tick_size(0.001)
        .lot_size(0.01)
        .last_trades_capacity(10_000)
    )
    backtest = HashMapMarketDepthBacktest([asset])
    books, at = [], int(events["local_ts"][0])
    for moment in moments:
        # A backtest begins at its first event.
        wait, at = moment * 1_000 + 999 - at, moment * 1_000 + 999
        if wait > 0:
            backtest.elapse(wait)
        found = sizes(backtest.depth(0), 1_001)
        sides = ((is_bid, tick, size) for is_bid in (0, 1) for tick, size in enumerate(found[is_bid]) if size > 0)
        books.append(sorted(level(bool(is_bid), tick / 1_000, size) for is_bid, tick, size in sides))
    backtest.elapse(int(events["local_ts"][-1]) + 1 - at)
    trades = backtest.last_trades(0)
    found = [level(bool(each["ev"] >> 29 & 1), each["px"], each["qty"]) for each in trades]
    return {"books": books, "trades": found}


def tardis(folder, ticker, moments):
    """Downloads the files with tardis-dev, from a server that has them where Tardis' has them."""
    import tardis_dev

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(FilesHandler, directory=folder))
    Thread(target=server.serve_forever, daemon=True).start()
    days = sorted({"-".join(path.parts[-4:-1]) for path in Path(folder).rglob("*.csv.gz")})
    after = str(date.fromisoformat(days[-1]) + timedelta(days=1))
    tardis_dev.download_datasets(
        "kalshi",
        TYPES,
        [ticker],
        days[0],
        after,
        endpoint=f"http://127.0.0.1:{server.server_port}",
        download_dir=folder,
    )
    server.shutdown()
    files = {name: [f"{folder}/kalshi_{name}_{day}_{ticker}.csv.gz" for day in days] for name in TYPES}
    rows = {name: [row for file in files[name] for row in lines_of(file)] for name in TYPES}
    trades = [[row["id"], *level(row["side"] == "buy", row["price"], row["amount"])] for row in rows["trades"]]
    return {
        "books": list(books_of_rows(rows["incremental_book_L2"], moments)),
        "trades": trades,
        "quotes": rows["quotes"],
        "converted": converted(folder, ticker, files, moments),
    }


class FilesHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def lines_of(file):
    with gzip.open(file, "rt") as text:
        return list(csv.DictReader(text))


def books_of_rows(rows, moments):
    """Reads them as Tardis' documentation says: a snapshot after something else replaces the book."""
    book, waiting, was_snapshot = {}, rows[::-1], False
    for moment in moments:
        while waiting and int(waiting[-1]["timestamp"]) <= moment:
            row = waiting.pop()
            is_snapshot = row["is_snapshot"] == "true"
            if is_snapshot and not was_snapshot:
                book = {}
            was_snapshot = is_snapshot
            book[row["side"] == "bid", row["price"]] = row["amount"]
        yield sorted(level(is_bid, price, size) for (is_bid, price), size in book.items() if float(size))


def converted(folder, ticker, files, moments):
    """The books of the same files by way of hftbacktest's converter."""
    from hftbacktest.data.utils.tardis import convert

    into = Path(folder) / "converted"
    into.mkdir()
    names = [*files["trades"], *files["incremental_book_L2"]]
    with redirect_stdout(sys.stderr):
        convert(names, str(into / f"{ticker}_all.npz"), buffer_size=1_000_000, ss_buffer_size=10_000)
    return hftbacktest(into, ticker, moments)["books"]


if __name__ == "__main__":
    program, folder, ticker = sys.argv[1:]
    answer = {"nautilus": nautilus, "hftbacktest": hftbacktest, "tardis-csv": tardis}[program](
        folder, ticker, json.load(sys.stdin)
    )
    print(json.dumps(answer))
