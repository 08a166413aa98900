"""Markets that a gatherer's own database takes for open: what it was told last, perhaps by an earlier run."""

from collections.abc import Callable

from app.offload import Offload
from app.postgres.asker import Asker
from app.postgres.connection import Connection
from app.postgres.dsn import Dsn
from app.registry.market import Market

# The markets whose tickers follow that one, as many as a page has, at a time in microseconds.
FindUnended = Callable[[str, int], list[Market]]

PAGE = 1_000
MICROSECONDS = "(extract(epoch FROM {}) * 1000000)::BIGINT"
QUERY = f"""
    SELECT ticker, event_ticker, status, market_type, result, exchange_index,
        {", ".join(map(MICROSECONDS.format, ("open_time", "close_time", "expiration_time", "updated_time")))}
    FROM markets
    WHERE ticker > %s AND status IN ('initialized', 'inactive', 'active', 'closed')
        AND coalesce(close_time, 'infinity') > TIMESTAMPTZ 'epoch' + %s * INTERVAL '1 microsecond'
    ORDER BY ticker LIMIT %s
"""  # noqa: S608 - of our own words


class UnendedMarkets:
    """Reads them from the metadata database, page by page in the order of their tickers."""

    def __init__(self, metadata: Dsn, offload: Offload) -> None:
        self._ask = Asker(metadata, "unended markets", offload)

    def page(self, after: str, now_us: int) -> list[Market]:
        """Return those of a page that close later than now, or of which nobody knows when they close."""

        def read(connection: Connection) -> list[Market]:
            with connection, connection.cursor() as cursor:
                cursor.execute(QUERY, (after, now_us, PAGE))
                return [Market(*row) for row in cursor.fetchall()]

        return self._ask(read)
