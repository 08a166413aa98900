"""A sink that keeps what it is given, and markets that a test opens and closes."""

from collections import defaultdict

from app.storage.tables import ORDERBOOK_SNAPSHOTS, QUARANTINE, TRADES


class KeptRows:
    def __init__(self):
        self._rows = defaultdict(list)

    def put(self, table, rows):
        self._rows[table.name] += rows

    @property
    def snapshots(self):
        return self._rows[ORDERBOOK_SNAPSHOTS.name]

    @property
    def trades(self):
        return self._rows[TRADES.name]

    @property
    def quarantined(self):
        return self._rows[QUARANTINE.name]


class Markets:
    def __init__(self, tickers):
        self.active = dict.fromkeys(tickers)

    def active_tickers(self):
        return list(self.active)

    def is_active(self, ticker):
        return ticker in self.active
