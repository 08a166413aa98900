"""Trades of a time that somebody asked for: back-filling production."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from app.coverage.journals import Period
from app.coverage.missing_trades import MissingTrades
from app.coverage.repairs import Reason, Repair
from app.errors import OperatorError

# What is fetched at once, of all markets and of one: a minute's work at most.
PIECE_OF_ALL, PIECE_OF_A_MARKET = timedelta(minutes=10), timedelta(days=1)
# REST shows a trade a moment after it happened.
SETTLED = timedelta(seconds=30)


class AskedTrades:
    def __init__(self, trades: MissingTrades) -> None:
        self._trades = trades

    def backfill(self, parameters: Mapping[str, Any]) -> Iterator[str]:
        """Fetch piece by piece, each noted as repaired if all of it could be stored; tell how far it is."""
        asked = Period(*(datetime.fromisoformat(parameters[name]) for name in ("from", "to")))
        ticker = parameters.get("ticker") or ""
        trades = added = unfit = 0
        for piece in pieces(self._settled(asked), PIECE_OF_A_MARKET if ticker else PIECE_OF_ALL):
            fetched = self._trades.repair(Repair(ticker, piece, Reason.ASKED))
            trades, added, unfit = trades + fetched.trades, added + fetched.added, unfit + fetched.unfit
            doubt = f"; {unfit} in quarantine, of whose time nothing is noted as repaired" if unfit else ""
            yield f"{trades} trades until {piece.end.isoformat()}, {added} of them new{doubt}"

    def _settled(self, asked: Period) -> Period:
        """What REST has of it and all that was heard is merged of: a copy that comes later may tell another time."""
        end = min(asked.end, datetime.now(UTC) - SETTLED, self._trades.merged_until())
        if asked.start >= end:
            raise OperatorError("That time has not passed yet.", fix=f"ask for a time before {end.isoformat()}.")
        return Period(asked.start, end)


def pieces(period: Period, length: timedelta) -> Iterator[Period]:
    start = period.start
    while start < period.end:
        end = min(start + length, period.end)
        yield Period(start, end)
        start = end
