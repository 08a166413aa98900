"""Read a lake of exchange data: trades, quotes, order books, and how complete they are. pyarrow is all it needs.

In: a folder or a bucket that the platform's exporter wrote. Out: Arrow, pandas and polars tables, and order books.
Read lake.py first; layout.py and schema.py define what writers and readers share.

    import kalshi_data as kd

    lake = kd.open("s3://bucket/prefix")  # or a folder, or kd.demo()
    lake.trades("KXBTC", "2026-11-21", "2026-11-22").to_df()
"""

import os
from typing import TYPE_CHECKING

from kalshi_data.errors import LakeError, MissingBookError, NoLakeError, NotKnownYetError, UnknownNameError

if TYPE_CHECKING:
    from kalshi_data.lake import Lake
    from kalshi_data.remote import RemoteLake

__all__ = [
    "LakeError",
    "MissingBookError",
    "NoLakeError",
    "NotKnownYetError",
    "UnknownNameError",
    "connect",
    "demo",
    "open",
]


def open(where: "str | os.PathLike[str]", endpoint: str | None = None) -> "Lake":  # noqa: A001 - read as kd.open()
    """Open the lake in a folder, or at `s3://bucket/prefix`. `endpoint` is the URL of an S3 that is not Amazon's."""
    # The platform imports parts of this package in processes that need no Arrow.
    from kalshi_data.lake import open_lake  # noqa: PLC0415

    return open_lake(where, endpoint)


def connect(url: str, token: str | None = None) -> "RemoteLake":
    """Connect to an admin service, such as https://admin.example, for the same calls over HTTP. Needs requests."""
    from kalshi_data.remote import RemoteLake  # noqa: PLC0415

    return RemoteLake(url, token)


def demo() -> "Lake":
    """Open the lake that the last demo left on this machine."""
    from kalshi_data.lake import open_demo  # noqa: PLC0415

    return open_demo()
