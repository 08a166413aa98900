import gevent.event

from app import logs
from app.errors import DatabaseError
from app.merge.members import Members
from app.merge.shards import fair_share
from app.metrics.merge import HELD_SHARDS, MEMBERS
from app.offload import Offload

log = logs.get(__name__)

COUNT_SECONDS = 2.0


class Membership:
    """This process among the deduplicators: how many lanes it may hold, so that all get their share."""

    def __init__(self, members: Members, lanes: int, offload: Offload, stopping: gevent.event.Event) -> None:
        self._members = members
        self._lanes = lanes
        self._offload = offload
        self._stopping = stopping
        self._share = 0
        self._held = 0

    def run(self) -> None:
        self.step()
        while not self._stopping.wait(COUNT_SECONDS):
            self.step()
        self._members.close()

    def step(self) -> None:
        try:
            members = self._offload(self._members.count)
        except DatabaseError as error:
            log.warning("the other deduplicators are not known", error=str(error))
            return
        self._share = fair_share(self._lanes, members)
        MEMBERS.set(members)

    def take_one(self) -> bool:
        """False: the others have to have the rest."""
        if self._held >= self._share:
            return False
        self._held += 1
        HELD_SHARDS.set(self._held)
        return True

    def has_too_many(self) -> bool:
        return self._held > self._share

    def leave_one(self) -> None:
        self._held -= 1
        HELD_SHARDS.set(self._held)
