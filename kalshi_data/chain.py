"""The chain of sealed days: links that make it evident if an object of a lake was changed, removed or added.

A link lists the manifests of one day with their hashes, their Merkle root, and the hash of the link before it. The hash
of the last link, the head, therefore stands for every object of every sealed day; who has noted it once can check the
lake against it for ever. A day whose objects were written again, for instance since rows came late, is sealed again by
a new link, and the old one stays.

All functions here are pure. app/lake/chain.py writes the links.
"""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from hashlib import sha256
from typing import NamedTuple

CHAIN = "_chain"
FIRST = ""  # what the first link has in place of the hash of a link before it


class ChainError(ValueError):
    """A link of the chain is not what its writer wrote. The message says how."""


class Link(NamedTuple):
    number: int  # the first is 1
    previous: str  # sha256 of the link before it
    day: datetime
    root: str
    manifests: Mapping[str, str]  # by key, the sha256 of each


def link_key(number: int) -> str:
    return f"{CHAIN}/{number:08}.json"


def next_link(number: int, previous: str, day: datetime, manifests: Mapping[str, str]) -> Link:
    return Link(number, previous, day, merkle_root(manifests), dict(sorted(manifests.items())))


def encode(link: Link) -> bytes:
    content = link._asdict() | {"day": f"{link.day:%Y-%m-%d}", "manifests": dict(link.manifests)}
    return json.dumps(content, indent=1).encode() + b"\n"


def decode(content: bytes) -> Link:
    """Return the link. Raise ChainError if it cannot be read, or if its root is not that of its manifests."""
    try:
        found = json.loads(content)
        day = datetime.strptime(found["day"], "%Y-%m-%d").replace(tzinfo=UTC)
        manifests = {str(key): str(value) for key, value in found["manifests"].items()}
        link = Link(int(found["number"]), str(found["previous"]), day, str(found["root"]), manifests)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ChainError("it cannot be read") from error
    if link.root != merkle_root(manifests):
        raise ChainError("its root is not that of its manifests")
    return link


def head_of(content: bytes) -> str:
    """Return the hash that stands for this link and all before it."""
    return sha256(content).hexdigest()


def merkle_root(manifests: Mapping[str, str]) -> str:
    """Return the Merkle root over the manifests, in the order of their keys. Leaves and inner nodes begin with
    different bytes, so that no inner node can be passed off as a manifest."""
    level = [sha256(f"\0{key}\0{digest}".encode()).digest() for key, digest in sorted(manifests.items())]
    while len(level) > 1:
        level = [_parent(level[first : first + 2]) for first in range(0, len(level), 2)]
    return level[0].hex() if level else sha256(b"").hexdigest()


def _parent(pair: list[bytes]) -> bytes:
    # The last of an odd number moves up as it is: repeating it would give two different days the same root.
    return pair[0] if len(pair) == 1 else sha256(b"\1" + b"".join(pair)).digest()


class Chain(NamedTuple):
    """The links of a lake as far as they belong together."""

    days: Mapping[datetime, Link]  # the latest link of each day
    heads: tuple[str, ...]  # by number; the last one is the head
    broken: str | None  # what is wrong with the link after these; None: there is none

    @property
    def head(self) -> str:
        return self.heads[-1] if self.heads else FIRST


def follow(links: Iterable[tuple[str, bytes]]) -> Chain:
    """Return the chain of these links, which are keys and contents in the order of their keys."""
    days: dict[datetime, Link] = {}
    heads: list[str] = []
    for number, (key, content) in enumerate(links, start=1):
        try:
            link = _followed(number, heads[-1] if heads else FIRST, key, content)
        except ChainError as error:
            return Chain(days, tuple(heads), f"{key}: {error}")
        days[link.day] = link
        heads.append(head_of(content))
    return Chain(days, tuple(heads), None)


def _followed(number: int, head: str, key: str, content: bytes) -> Link:
    if key != link_key(number):
        raise ChainError(f"link {number} is missing before it")
    link = decode(content)
    if (link.number, link.previous) != (number, head):
        raise ChainError("it does not follow the link before it")
    return link


def differences(link: Link, found: Mapping[str, str]) -> list[str]:
    """Return how a day's manifests differ from the ones that were sealed, one sentence each."""
    sealed = link.manifests
    return [
        *(f"{key} was removed" for key in sorted(sealed.keys() - found.keys())),
        *(f"{key} was added" for key in sorted(found.keys() - sealed.keys())),
        *(f"{key} was changed" for key in sorted(sealed.keys() & found.keys()) if sealed[key] != found[key]),
    ]
