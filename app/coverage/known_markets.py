"""Whether there is such a market: nothing is recorded of one that was mistyped, nor of one that never traded."""

import difflib

from app.errors import OperatorError
from app.postgres.connection import Connection, value_of

IS_KNOWN = "SELECT EXISTS (SELECT FROM markets WHERE ticker = %s)"
# Of the same series, most likely: who mistypes, mistypes the end.
NEAR = "SELECT ticker FROM markets WHERE ticker >= %s AND ticker < %s ORDER BY ticker LIMIT 10000"
FIRST_CHARACTERS = 4
LAST_CHARACTER = "\x7f"


def refuse_unknown_market(connection: Connection, ticker: str) -> None:
    """Raise where production knows no such market, with those that are named nearly like it."""
    if value_of(connection, IS_KNOWN, (ticker,)):
        return
    start = ticker[:FIRST_CHARACTERS].upper()
    with connection.cursor() as cursor:
        cursor.execute(NEAR, (start, start + LAST_CHARACTER))
        names = [name for (name,) in cursor.fetchall()]
    near = difflib.get_close_matches(ticker.upper(), names, n=3)
    fix = f"did you mean {' or '.join(near)}?" if near else "check the ticker; kalshi-data knows those of production."
    raise OperatorError(f"There is no market {ticker}.", "Production knows none of that name.", fix)
