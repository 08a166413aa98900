"""The lake: Parquet that can be trusted and used without us. docs/lake.md says what lies where.

In: production's rows, hour by hour. Out: sorted files with their manifests, read back and verified, and candles.
Read archive.py first to see it written, reader.py to read it.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.lake.reader import Lake


def open(where: str) -> "Lake":  # noqa: A001 - read as lake.open()
    """A folder, or `s3://bucket/prefix`."""
    from app.lake.reader import open_lake  # noqa: PLC0415 - Arrow is heavy, and not all of the lake needs it

    return open_lake(where)
