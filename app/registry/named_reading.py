"""Asking REST for objects by their names, of which one that the exchange refuses must not keep the others waiting."""

from collections.abc import Callable
from typing import NamedTuple

from app import logs
from app.kalshi.rest_errors import RequestRefusedError, RestError, UnexpectedAnswerError

log = logs.get(__name__)

ReadNamed = Callable[[list[str]], set[str]]

# So many refusals before the first answer: then it is the exchange that refuses everything, not one of the names.
MOST_REFUSALS = 8


class Answered(NamedTuple):
    found: set[str]
    refused: set[str]  # nobody knows whether these exist

    def missing(self, tickers: list[str]) -> list[str]:
        """Return those that the exchange answered for, and that it does not know."""
        return [ticker for ticker in tickers if ticker not in self.found and ticker not in self.refused]


def read_in_halves(read_named: ReadNamed, tickers: list[str]) -> Answered:
    """Read all at once; what is refused in halves, down to the names that are refused alone. Raise the refusal if
    nothing but refusals comes."""
    found, refused = set[str](), set[str]()
    waiting = [tickers]
    refusals, answers = 0, 0
    while waiting:
        part = waiting.pop()
        try:
            found |= read_named(part)
            answers += 1
        except (RequestRefusedError, UnexpectedAnswerError) as error:
            refusals += 1
            _give_up(error, len(tickers), refusals, answers)
            if len(part) == 1:
                refused.update(part)
            else:
                waiting += [part[len(part) // 2 :], part[: len(part) // 2]]
    if refused:
        log.error("the exchange refuses these by name", tickers=len(refused), first=min(refused))
    return Answered(found, refused)


def _give_up(error: RestError, asked: int, refusals: int, answers: int) -> None:
    if not answers and (asked == 1 or refusals == MOST_REFUSALS):
        raise error
