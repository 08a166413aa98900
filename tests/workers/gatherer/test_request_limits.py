import pytest

from app.kalshi.errors import AccessDeniedError, RequestRefusedError, UnexpectedAnswerError
from app.kalshi.rest_objects import AccountLimits, BucketLimit
from workers.gatherer.process import RequestLimits
from workers.process.group import Group


class Client:
    def __init__(self, error):
        self._error = error

    def adopt_account_limits(self, _processes):
        raise self._error


class Poller:
    fetchers = 0

    def start(self, _group, fetchers):
        self.fetchers += fetchers


@pytest.mark.parametrize("error", [RequestRefusedError("404"), UnexpectedAnswerError("what?")])
def test_a_budget_that_is_not_told_is_the_lowest_and_ends_nothing(error):
    group, poller = Group(), Poller()
    RequestLimits(Client(error), 3, poller, group).run()
    assert poller.fetchers >= 1
    assert not group.stopping.is_set()


def test_a_key_that_is_refused_is_tried_again_and_meanwhile_books_are_polled(monkeypatch):
    monkeypatch.setattr("workers.process.group.DENIED_SECONDS", 0.01)
    group, poller, started = Group(), Poller(), []
    refusals = [AccessDeniedError("403"), AccessDeniedError("403")]

    class RefusedTwice:
        def adopt_account_limits(self, _processes):
            started.append(poller.fetchers)
            if refusals:
                raise refusals.pop()
            return AccountLimits(BucketLimit(12_000, 12_000))

    account = RequestLimits(RefusedTwice(), 1, poller, group)
    account.run()
    assert started[0] == 0 < started[1] == started[2] < poller.fetchers
    assert account.component.why_not_ready() is None
