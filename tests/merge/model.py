"""The rule once more, in plain Python and over all rows at once, as slow and as clear as can be."""

from collections import defaultdict

SECOND_US = 1_000_000


def named(table, rows):
    return [dict(zip(table.column_names, row, strict=False)) for row in rows]


def groups(rows, *identity):
    found = defaultdict(list)
    for row in rows:
        found[tuple(row[name] for name in identity)].append(row)
    return found


def deltas(rows):
    """By identity without time: the true time, or the times it may have, and whether nobody heard it in good order."""
    identity = ("ticker", "clock", "yes_side", "price_e6", "delta_e2", "nth")
    return {
        key: (times_of(copies), all(copy["after_gap"] for copy in copies))
        for key, copies in groups(rows, *identity).items()
    }


def tickers(rows):
    return {key: times_of(copies) for key, copies in groups(rows, "ticker", "digest", "nth").items()}


def times_of(copies):
    timed = {copy["exchange_ts"] for copy in copies if not copy["ts_missing"]}
    return (False, timed) if timed else (True, {copy["exchange_ts"] for copy in copies})


def trades(rows):
    """By trade_id: the finest and earliest time, and what all copies say together."""
    return {
        trade_id: (
            min((copy["exchange_ts"] % SECOND_US == 0, copy["exchange_ts"]) for copy in copies)[1],
            all(copy["from_rest"] for copy in copies),
            next((copy["is_block_trade"] for copy in copies if copy["is_block_trade"] is not None), None),
        )
        for (trade_id,), copies in groups(rows, "trade_id").items()
    }
