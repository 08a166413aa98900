"""The lake as the platform's own commands read it: kalshi_data, over the platform's storage and its errors."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from app.errors import OperatorError
from app.lake.storage import Storage, StorageError, storage_at
from kalshi_data.books import Book
from kalshi_data.errors import LakeError, UnreadableError
from kalshi_data.files import LakeFiles
from kalshi_data.lake import Lake
from kalshi_data.order_book import Knowledge


def lake_of(storage: Storage) -> Lake:
    filesystem, root = storage.filesystem()
    return Lake(LakeFiles(filesystem, root, storage.location))


def open_lake(where: str) -> Lake:
    """Open the lake in a folder, or at `s3://bucket/prefix`."""
    return lake_of(storage_at(where))


@contextmanager
def operator_errors() -> Iterator[None]:
    """Turn the library's errors into the commands' own."""
    try:
        yield
    except LakeError as error:
        kind = StorageError if isinstance(error, UnreadableError) else OperatorError
        raise kind(error.what, error.detail, error.fix) from error


@operator_errors()
def book_at(lake: Lake, ticker: str, at: datetime, knowledge: Knowledge | None = None) -> Book:
    """Return the book at a time, with production's knowledge of holes if it is passed in."""
    knowledge = knowledge or Knowledge("unknown", lake.recorded_until())
    return lake.book_as_known(ticker, at, knowledge)
