from collections.abc import Mapping
from typing import NamedTuple

import gevent.event

from app.merge.position import Position, Pull


class Post(NamedTuple):
    pulls: dict[str, Pull]
    failures: dict[str, str | None]


class Inbox:
    """Where pullers lay down what they read, at most one batch of each gatherer, for the merger to take all at once.

    A batch is accepted only where the one before it ended; so after a failure, what was read ahead is dropped.
    """

    def __init__(self) -> None:
        self._positions: dict[str, Position] = {}
        self._post = Post({}, {})
        self._has_post = gevent.event.Event()
        self._has_room = gevent.event.Event()

    def open(self, positions: Mapping[str, Position]) -> None:
        """From now on batches are accepted, from these positions on."""
        self._positions = dict(positions)
        self._post = Post({}, {})
        self._has_post.clear()
        self._has_room.set()

    def close(self) -> None:
        self.open({})

    def wanted(self, gatherer: str, timeout_seconds: float) -> Position | None:
        """From where to read next. None: nobody merges, or has not taken the last batch yet."""
        if gatherer not in self._positions or gatherer in self._post.pulls:
            self._has_room.clear()
            self._has_room.wait(timeout_seconds)
        return None if gatherer in self._post.pulls else self._positions.get(gatherer)

    def put(self, gatherer: str, pull: Pull) -> None:
        if self._positions.get(gatherer) == pull.after:
            self._positions[gatherer] = pull.through
            self._post.pulls[gatherer] = pull
            self._has_post.set()

    def put_failure(self, gatherer: str, failure: str | None) -> None:
        """None: it works again."""
        if gatherer in self._positions:
            self._post.failures[gatherer] = failure
            self._has_post.set()

    def take(self, timeout_seconds: float) -> Post:
        """All there is; waits while there is nothing."""
        self._has_post.wait(timeout_seconds)
        self._has_post.clear()
        post, self._post = self._post, Post({}, {})
        self._has_room.set()
        return post
