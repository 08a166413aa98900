"""Check the order books of a lake without its makers' code: python prove_it_yourself.py LAKE_FOLDER. Needs pyarrow.

Rebuilds each book from one snapshot and the changes after it, and compares it with the next snapshot, level by level.
Exits with 1 if one differs that no hole of coverage/ explains, or if there is nothing to compare.
"""

import sys
from collections import Counter, defaultdict
from datetime import timedelta
from itertools import pairwise

from pyarrow import dataset


def rows(folder, condition):
    found = dataset.dataset(f"{sys.argv[1]}/{folder}", format="parquet", partitioning="hive")
    for batch in found.to_batches(filter=condition):
        yield from batch.to_pylist()


books, changes, holes, found = defaultdict(list), defaultdict(list), defaultdict(list), Counter()
for row in rows("processed/orderbook_snapshots", dataset.field("yes_prices_e6").is_valid()):
    levels = {(True, price): size for price, size in zip(row["yes_prices_e6"], row["yes_sizes_e2"], strict=True)}
    levels |= {(False, price): size for price, size in zip(row["no_prices_e6"], row["no_sizes_e2"], strict=True)}
    if row["source"] == "ws" and row["clock"] >= 0 and levels:  # the exchange empties a book when its market closes
        books[row["ticker"]].append((row["snapshot_ts"], row["clock"], levels))
for row in rows("processed/orderbook_deltas", dataset.field("clock") >= 0):
    change = row["exchange_ts"], row["clock"], (row["yes_side"], row["price_e6"]), row["delta_e2"]
    changes[row["ticker"]].append(change)
for row in rows("coverage", dataset.field("state") == "hole"):
    holes[row["ticker"]] += zip(row["holes_from"], row["holes_until"], strict=True)
for ticker, snapshots in books.items():
    for (since, first, levels), (until, last, expected) in pairwise(sorted(snapshots, key=lambda book: book[0])):
        near, book = timedelta(minutes=1), Counter(levels)
        for at, clock, level, delta in changes[ticker]:
            if first < clock <= last and since - near < at < until + near:  # clocks may begin anew in between
                book[level] += delta
        is_equal = {level: size for level, size in book.items() if size} == expected
        is_in_hole = last < first or any(start < until and end > since for start, end in holes[ticker])
        found["equal" if is_equal else "in a hole" if is_in_hole else "wrong"] += 1
        if not is_equal and not is_in_hole:
            print(f"{ticker}: the book of {until} is not that of {since} with the changes in between")
print(dict(found))
sys.exit(not found["equal"] or found["wrong"] > 0)
