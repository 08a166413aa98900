"""Objects of raw/ in Glacier: which of them a rebuild needs, and having S3 make copies of them that can be read.

A bucket moves raw/ to Glacier after 30 days (app/lake/s3_storage.py). What lies there is listed and kept, and read only
when a copy was asked for and has been made, hours later; after some days the copy is gone again.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from enum import Enum
from typing import NamedTuple

from app.errors import OperatorError
from app.lake.layout import HOUR, RAW_TABLES, hour_folder, hours_between
from app.lake.s3_storage import BucketStorage
from app.lake.storage import InGlacierError, Listed, Storage


class GlacierState(Enum):
    READABLE = "can be read"
    PENDING = "is being restored"
    FROZEN = "is in Glacier"


class RawObject(NamedTuple):
    key: str
    size_bytes: int
    state: GlacierState
    restored: str = ""  # what S3 says of the copy


def raw_objects(storage: Storage, table_name: str, start: datetime, end: datetime) -> list[Listed]:
    """What a rebuild of these hours reads: those of all gatherers, of the hours beside them too, since copies of one
    event may lie there."""
    folders = {hour_folder(hour) for hour in hours_between(start - HOUR, end + HOUR)}
    found = storage.listed(f"raw/{table_name}")
    return [each for each in found if "/".join(each.key.split("/")[3:5]) in folders]


def needed_objects(storage: Storage, start: datetime, end: datetime) -> Iterator[RawObject]:
    """What a rebuild of these hours reads, and whether it can be read now."""
    for table in RAW_TABLES:
        for found in raw_objects(storage, table.name, start, end):
            yield _looked_at(storage, found)


def restore(storage: BucketStorage, objects: Iterable[RawObject], days: int, tier: str) -> int:
    """Ask for copies of those of which there is none. Return how many were asked for."""
    asked = 0
    for each in objects:
        if each.state is GlacierState.FROZEN:
            storage.restore(each.key, days, tier)
            asked += 1
    return asked


def refuse_what_is_in_glacier(storage: Storage, start: datetime, end: datetime) -> None:
    """Raise an InGlacierError unless all that a rebuild of these hours needs can be read now: it takes long, and is not
    to break off halfway."""
    unreadable = [each for each in needed_objects(storage, start, end) if each.state is not GlacierState.READABLE]
    if unreadable:
        pending = sum(each.state is GlacierState.PENDING for each in unreadable)
        raise InGlacierError(
            f"{len(unreadable)} objects of raw/ cannot be read yet.",
            f"They lie in Glacier, {unreadable[0].key} the first of them; {pending} of them are being restored.",
            f"run kalshi-data lake restore --from {start:%Y-%m-%dT%H:%M:%SZ} --to {end:%Y-%m-%dT%H:%M:%SZ}, which also "
            "tells how far it is.",
        )


def bucket_of(storage: Storage) -> BucketStorage:
    """Raise where the lake is a folder, which has no Glacier."""
    if isinstance(storage, BucketStorage):
        return storage
    raise OperatorError(
        "A folder has no Glacier: all of it can be read.", f"The lake is {storage.location}.", "check KALSHI_LAKE."
    )


def _looked_at(storage: Storage, found: Listed) -> RawObject:
    if not found.is_in_glacier or not isinstance(storage, BucketStorage):
        return RawObject(found.key, found.size_bytes, GlacierState.READABLE)
    restored = storage.restoration(found.key)
    if not restored:
        return RawObject(found.key, found.size_bytes, GlacierState.FROZEN)
    state = GlacierState.PENDING if 'ongoing-request="true"' in restored else GlacierState.READABLE
    return RawObject(found.key, found.size_bytes, state, restored)
