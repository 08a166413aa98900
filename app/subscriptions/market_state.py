"""The state machine of a market on one book socket; BookMarkets keeps a million of them."""

from enum import Enum, auto


class State(Enum):
    """Where a market stands on one socket. Whatever is told of one in another state than is expected comes too late.

    ABSENT -> WAITING -> JOINING -> JOINED     its snapshot came
                 ^          |
                 |          +-> RETURNING      none came: it is deleted and added once more
                 |          +-> SILENT         nor did the second time: it is left alone for a while, then RETURNING
                 +-- RETURNING                 it has left, or there is nothing that it could leave
    JOINED, JOINING, SILENT -> LEAVING -> ABSENT     it is not wanted any more; wanted again meanwhile: RETURNING
    """

    ABSENT = auto()
    WAITING = auto()  # to be asked for
    JOINING = auto()  # asked for
    JOINED = auto()
    SILENT = auto()  # asked for in vain
    LEAVING = auto()  # not wanted, to be deleted
    RETURNING = auto()  # wanted, to be deleted first
