from datetime import datetime

import msgspec


class HistoricalCutoff(msgspec.Struct, frozen=True):
    """What happened before is in the exchange's archive, and no longer among the rest."""

    trades_created_ts: datetime
