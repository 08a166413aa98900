"""Seal the lake's finished days by a chain of hashes, and check a lake against its chain.

In: days whose objects are all verified. Out: a link in `_chain/` for each, and the same in production, so that a chain
that was cut short or written anew is noticed too. kalshi_data/chain.py says what a link is.
"""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import msgspec

from app.lake.ledger import ExportLedger
from app.lake.parquet import decode_manifest, sha256_of
from app.lake.storage import InGlacierError, Storage, StorageError
from app.runtime import logs
from kalshi_data.chain import (
    CHAIN,
    FIRST,
    Chain,
    ChainError,
    Link,
    decode,
    differences,
    encode,
    follow,
    head_of,
    link_key,
    next_link,
)
from kalshi_data.layout import CANDLES, FOLDERS, INTERVALS, MANIFESTS, day_folder, object_key

log = logs.get(__name__)

# A day is sealed an hour after its end, when all its hours are verified and its candles are those of its trades, and
# again when any of that was written again.
DUE = """
    SELECT day, now() FROM (
        SELECT
            date_bin('1 day', hour, 'epoch') AS day, max(exported_at) AS exported_at,
            bool_and(verified_at IS NOT NULL AND through_ingest_id >= changed_through) AS is_verified,
            coalesce(
                max(exported_at) FILTER (WHERE table_name = 'ohlcv')
                >= max(exported_at) FILTER (WHERE table_name IN ('trades', 'tickers')),
                bool_and(table_name NOT IN ('trades', 'tickers'))
            ) AS has_candles
        FROM exports WHERE lake_id = %(lake)s GROUP BY 1
    ) AS days
    LEFT JOIN LATERAL (
        SELECT looked_at FROM sealed_days WHERE lake_id = %(lake)s AND sealed_days.day = days.day
        ORDER BY number DESC LIMIT 1
    ) AS sealed ON TRUE
    WHERE is_verified AND has_candles AND exported_at >= coalesce(looked_at, '-infinity')
        AND day + INTERVAL '25 hours' <= now()
    ORDER BY day LIMIT 1
"""
BEING_WRITTEN = """
    SELECT DISTINCT date_bin('1 day', hour, 'epoch') FROM exports
    WHERE lake_id = %(lake)s AND exported_at >= (
        SELECT max(looked_at) FROM sealed_days WHERE lake_id = %(lake)s AND day = date_bin('1 day', hour, 'epoch')
    )
"""
LAST = "SELECT number, head FROM sealed_days WHERE lake_id = %(lake)s ORDER BY number DESC LIMIT 1"
ROOT = "SELECT root FROM sealed_days WHERE lake_id = %(lake)s AND day = %(day)s ORDER BY number DESC LIMIT 1"
NOTE = """
    INSERT INTO sealed_days (lake_id, number, day, objects, root, head, looked_at)
    VALUES (%(lake)s, %(number)s, %(day)s, %(objects)s, %(root)s, %(head)s, %(as_of)s)
    ON CONFLICT (lake_id, number) DO NOTHING
"""
LOOKED = """
    UPDATE sealed_days SET looked_at = %(as_of)s
    WHERE lake_id = %(lake)s AND number = (
        SELECT max(number) FROM sealed_days WHERE lake_id = %(lake)s AND day = %(day)s
    )
"""
HEADS = "SELECT number, head FROM sealed_days WHERE lake_id = %(lake)s ORDER BY number"


class DayChain:
    """The chain of one lake, as production knows it."""

    def __init__(self, ledger: ExportLedger, storage: Storage) -> None:
        self._ledger = ledger
        self._storage = storage

    def seal_next(self) -> bool:
        """Seal one day that is due. Return True while there may be more."""
        due = self._ledger.row(DUE)
        if due is None:
            return False
        day, as_of = due
        number, head = self._ledger.row(LAST) or (0, FIRST)
        if self._adopt(number + 1, head, as_of):
            return True
        link = next_link(number + 1, head, day, digests_of(manifests_of(self._storage, day)))
        known = self._ledger.row(ROOT, day=day)
        if known and known[0] == link.root:
            self._ledger.change(LOOKED, day=day, as_of=as_of)
            return True
        content = encode(link)
        # Before production knows of it: after a crash in between, the next round adopts it.
        self._storage.put(link_key(link.number), content, None)
        self._note(link, head_of(content), as_of)
        log.info("day sealed", day=f"{day:%Y-%m-%d}", objects=len(link.manifests), head=head_of(content))
        return True

    def memory(self, published: str | None = None) -> "ChainMemory":
        """Return what production knows of the chain."""
        heads = [head for _, head in self._ledger.rows(HEADS)]
        return ChainMemory(heads, published, frozenset(day for (day,) in self._ledger.rows(BEING_WRITTEN)))

    def _adopt(self, number: int, head: str, as_of: datetime) -> bool:
        """Note a link that the lake has and production does not. Return False if there is none."""
        content = self._storage.read(link_key(number))
        if content is None:
            return False
        try:
            link = decode(content)
        except ChainError:
            link = None
        if link is None or link.previous != head:
            raise StorageError(
                f"{link_key(number)} in the lake at {self._storage.location} does not follow the link before it.",
                "It is damaged, or not written by an exporter of this production.",
                "run kalshi-data verify --chain; put the link back from an older version in the bucket or from a copy.",
            )
        self._note(link, head_of(content), as_of)
        return True

    def _note(self, link: Link, head: str, as_of: datetime) -> None:
        self._ledger.change(
            NOTE,
            number=link.number,
            day=link.day,
            objects=len(link.manifests),
            root=link.root,
            head=head,
            as_of=as_of,
        )


# Where a day's objects lie. Raw data is not sealed: archivers write it, and it is in Glacier after a month.
DAY_FOLDERS = (
    *(folder for name, folder in FOLDERS.items() if name != CANDLES),
    *(f"{FOLDERS[CANDLES]}/interval={interval}" for interval in INTERVALS),
)


def manifests_of(storage: Storage, day: datetime) -> dict[str, bytes]:
    """Return the content of every manifest of a day, by key."""
    keys = (key for folder in DAY_FOLDERS for key in storage.keys(f"{MANIFESTS}/{folder}/{day_folder(day)}"))
    return {key: content for key in keys if (content := storage.read(key)) is not None}


def digests_of(manifests: Mapping[str, bytes]) -> dict[str, str]:
    return {key: sha256(content).hexdigest() for key, content in manifests.items()}


class ChainFinding(NamedTuple):
    chain: Chain
    wrong: list[str]  # one sentence each
    days: int  # checked
    pending: int  # days of which something was written since they were sealed
    unread: int  # objects in Glacier


class ChainMemory(NamedTuple):
    """What is known of a lake's chain elsewhere than in the lake."""

    heads: Sequence[str] = ()  # of the links in production, by number
    published: str | None = None  # a head that somebody has noted
    being_written: frozenset[datetime] = frozenset()  # days that production will have sealed again


def check_chain(storage: Storage, start: datetime, end: datetime, memory: ChainMemory) -> ChainFinding:
    """Check the chain, and read back the objects of its days from `start` until `end`."""
    chain = follow((key, storage.read(key) or b"") for key in sorted(storage.keys(CHAIN)))
    wrong = [chain.broken] if chain.broken else []
    wrong += _against_memory(chain, memory)
    links = [link for day, link in chain.days.items() if start <= day < end]
    sealed = [link for link in links if link.day not in memory.being_written]
    unread = 0
    for link in sealed:
        manifests = manifests_of(storage, link.day)
        wrong += differences(link, digests_of(manifests))
        for said, is_read in _objects(storage, link, manifests):
            wrong += said
            unread += not is_read
    return ChainFinding(chain, wrong, len(sealed), len(links) - len(sealed), unread)


def _against_memory(chain: Chain, memory: ChainMemory) -> Iterator[str]:
    heads = memory.heads
    if chain.broken is None and len(chain.heads) < len(heads):
        yield f"the chain ends with link {len(chain.heads)}; production knows {len(heads)}"
    for number, (found, known) in enumerate(zip(chain.heads, heads, strict=False), start=1):
        if found != known:
            yield f"{link_key(number)} is not the link that production knows: the chain was written anew from there"
            break
    if memory.published and memory.published not in chain.heads:
        yield f"no link has the hash {memory.published}"


def _objects(storage: Storage, link: Link, manifests: Mapping[str, bytes]) -> Iterator[tuple[list[str], bool]]:
    """Yield what is wrong with each object of a sealed day, and whether it could be read."""
    listed = {key for folder in DAY_FOLDERS for key in storage.keys(f"{folder}/{day_folder(link.day)}")}
    sealed = {object_key(key): key for key in link.manifests}
    yield [f"{key} was added" for key in sorted(listed - sealed.keys())], True
    for key, manifest in sorted(sealed.items()):
        try:
            yield _object(storage, key, manifests.get(manifest, b"")), True
        except InGlacierError:
            yield [], False


def _object(storage: Storage, key: str, described: bytes) -> list[str]:
    try:
        manifest = decode_manifest(described)
    except msgspec.DecodeError:
        return []  # the manifest itself is named already
    with tempfile.TemporaryDirectory(prefix="kalshi-lake-") as folder:
        path = Path(folder) / "object"
        if not storage.fetch(key, path):
            return [f"{key} was removed"]
        return [] if sha256_of(path) == manifest.sha256 else [f"{key} was changed"]
