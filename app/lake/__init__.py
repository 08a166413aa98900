"""The lake: Parquet that can be trusted and used without this platform. docs/lake.md describes its layout.

In: production's rows, hour by hour. Out: sorted files with their manifests, read back and verified, and candles.
Read archive.py first to see how it is written, reader.py to see how it is read.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kalshi_data.lake import Lake


def open(where: str) -> "Lake":  # noqa: A001 - read as lake.open()
    """Open the lake in a folder, or at `s3://bucket/prefix`."""
    from app.lake.reader import open_lake  # noqa: PLC0415 - Arrow is heavy, and not all of the lake needs it

    return open_lake(where)
