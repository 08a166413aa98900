import pytest

from app.kalshi.rest_errors import RequestRefusedError, UnexpectedAnswerError
from workers.account import Account
from workers.group import Group


class Client:
    def __init__(self, error):
        self._error = error

    def adopt_account_limits(self, _processes):
        raise self._error


class Poller:
    fetchers = 0

    def start(self, _group, fetchers):
        self.fetchers = fetchers


@pytest.mark.parametrize("error", [RequestRefusedError("404"), UnexpectedAnswerError("what?")])
def test_a_budget_that_is_not_told_is_the_lowest_and_ends_nothing(error):
    group, poller = Group(), Poller()
    Account(Client(error), 3, poller, group).run()
    assert poller.fetchers >= 1
    assert not group.stopping.is_set()
