"""Objects of raw/ in Glacier: find the ones that a rebuild needs, and have S3 restore copies that can be read.

A bucket moves raw/ to Glacier after 30 days (app/lake/s3_storage.py). Objects there are still listed and kept, but can
be read only after a copy was requested and has been made, hours later. After some days the copy expires.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from enum import Enum
from typing import NamedTuple

from app.errors import OperatorError
from app.lake.layout import RAW_TABLES
from app.lake.s3_storage import BucketStorage
from app.lake.storage import InGlacierError, Listed, Storage
from kalshi_data.layout import HOUR, hour_folder, hours_between


class GlacierState(Enum):
    READABLE = "can be read"
    PENDING = "is being restored"
    FROZEN = "is in Glacier"


class RawObject(NamedTuple):
    """An object of raw/, and whether it can be read."""

    key: str
    size_bytes: int
    state: GlacierState
    restored: str = ""  # S3's description of the copy


def raw_objects(storage: Storage, table_name: str, start: datetime, end: datetime) -> list[Listed]:
    """Return the objects that a rebuild of these hours reads: all gatherers', and also of the neighbouring hours, since
    copies of one event may lie there."""
    folders = {hour_folder(hour) for hour in hours_between(start - HOUR, end + HOUR)}
    found = storage.listed(f"raw/{table_name}")
    return [each for each in found if "/".join(each.key.split("/")[3:5]) in folders]


def needed_objects(storage: Storage, start: datetime, end: datetime) -> Iterator[RawObject]:
    """Yield the objects that a rebuild of these hours reads, and whether they can be read now."""
    for table in RAW_TABLES:
        for found in raw_objects(storage, table.name, start, end):
            yield _looked_at(storage, found)


def restore(storage: BucketStorage, objects: Iterable[RawObject], days: int, tier: str) -> int:
    """Request copies of the objects that have none. Return how many were requested."""
    asked = 0
    for each in objects:
        if each.state is GlacierState.FROZEN:
            storage.restore(each.key, days, tier)
            asked += 1
    return asked


def refuse_what_is_in_glacier(storage: Storage, start: datetime, end: datetime) -> None:
    """Raise an InGlacierError unless all that a rebuild of these hours needs can be read now. A rebuild takes long, and
    should not fail halfway."""
    unreadable = [each for each in needed_objects(storage, start, end) if each.state is not GlacierState.READABLE]
    if unreadable:
        pending = sum(each.state is GlacierState.PENDING for each in unreadable)
        raise InGlacierError(
            f"{len(unreadable)} objects of raw/ cannot be read yet.",
            f"They are in Glacier, {unreadable[0].key} the first of them; {pending} of them are being restored.",
            f"run kalshi-data lake restore --from {start:%Y-%m-%dT%H:%M:%SZ} --to {end:%Y-%m-%dT%H:%M:%SZ}, which also "
            "shows the progress.",
        )


def bucket_of(storage: Storage) -> BucketStorage:
    """Return the lake's bucket. Raise if the lake is a folder, which has no Glacier."""
    if isinstance(storage, BucketStorage):
        return storage
    raise OperatorError(
        "A lake in a folder has nothing in Glacier: everything can be read.",
        f"The lake is {storage.location}.",
        "check KALSHI_LAKE.",
    )


def _looked_at(storage: Storage, found: Listed) -> RawObject:
    if not found.is_in_glacier or not isinstance(storage, BucketStorage):
        return RawObject(found.key, found.size_bytes, GlacierState.READABLE)
    restored = storage.restoration(found.key)
    if not restored:
        return RawObject(found.key, found.size_bytes, GlacierState.FROZEN)
    state = GlacierState.PENDING if 'ongoing-request="true"' in restored else GlacierState.READABLE
    return RawObject(found.key, found.size_bytes, state, restored)
