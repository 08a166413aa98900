"""How long a connection waits after the end of one of its sockets: pure."""

import pytest

from app.runtime.backoff import Backoff
from workers.gatherer.connection import FIRST_REST_SECONDS, LONGEST_REST_SECONDS, rest_seconds


def rests(lived_seconds, ends=20):
    """The longest possible ones, after sockets that lived this long each."""
    backoff = Backoff(FIRST_REST_SECONDS, LONGEST_REST_SECONDS, chance=lambda: 1.0)
    return [rest_seconds(backoff, lived_seconds) for _ in range(ends)]


@pytest.mark.parametrize("lived_seconds", [10, 30, 55])
def test_sockets_that_are_ended_again_and_again_are_missed_no_longer_than_they_served(lived_seconds):
    assert max(rests(lived_seconds)) == lived_seconds


def test_sockets_that_end_as_soon_as_they_open_are_opened_ever_more_slowly():
    waits = rests(0.2)
    assert waits[:4] == [1, 2, 4, 8]
    assert waits[-1] == LONGEST_REST_SECONDS


def test_a_socket_that_lasted_is_opened_again_at_once():
    assert rests(60) == [FIRST_REST_SECONDS] * 20
