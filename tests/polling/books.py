import json

from msgspec import Raw

from app.normalize.snapshots import rest_snapshot_row
from tests.storage.rows import NOON_US

YES = [["0.4200", "13.00"]]
NO = [["0.5600", "17.00"]]


def answered(ticker="KXTEST-1", yes=YES, no=NO):
    return Raw(json.dumps({"ticker": ticker, "orderbook_fp": {"yes_dollars": yes, "no_dollars": no}}).encode())


def row_of(ticker="KXTEST-1", at_us=NOON_US, **levels):
    return rest_snapshot_row(answered(ticker, **levels), at_us)
