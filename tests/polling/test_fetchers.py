import pytest

from app.kalshi.request_budget import BASIC, BudgetLimits
from app.kalshi.rest_transport import CONNECTIONS
from app.polling.book_cycles import MOST_FETCHERS, fetchers_for


@pytest.mark.parametrize(
    ("tokens_per_second", "fetchers"), [(1, 1), (200, 3), (1_200, 13), (12_000, MOST_FETCHERS), (10**9, MOST_FETCHERS)]
)
def test_there_are_as_many_as_use_up_the_budget_at_a_tenth_of_a_second_a_call(tokens_per_second, fetchers):
    assert fetchers_for(BudgetLimits(tokens_per_second, capacity=1_000)) == fetchers


def test_a_gatherers_share_of_the_lowest_tier_has_one():
    assert fetchers_for(BASIC.shared_by(3)) == 1


def test_some_connections_are_left_to_others():
    assert MOST_FETCHERS < CONNECTIONS
