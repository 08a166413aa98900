"""The lake: whether it can be read and written, and is the one that production is bound to."""

from collections.abc import Iterator
from pathlib import Path

from app.doctor.check import EXPORTER, Check, failed, judged, note
from app.errors import OperatorError
from app.lake import identity
from app.lake.storage import Storage, storage_of
from app.postgres.connection import connected
from app.settings import Settings


def lake_checks(settings: Settings) -> Iterator[Check]:
    if settings.lake is None:
        yield note("lake", "KALSHI_LAKE is not set: an exporter would write below KALSHI_DATA_DIR and bind nothing")
        return
    try:
        storage = storage_of(settings)
        storage.prove_writable()
        known = identity.known_identity(storage)
    except OperatorError as error:
        yield failed("lake", " ".join(str(error).split("\n")), (EXPORTER,))
        return
    yield judged("lake", f"{storage.location} can be written; {_named(storage, known)}", ok=True)
    yield from _binding(settings, storage, known)


def _named(storage: Storage, known: identity.Identity | None) -> str:
    if known is not None:
        return f"it is {known.lake_id}, of {known.created_at:%Y-%m-%d}"
    is_there = storage.location.startswith("s3://") or Path(storage.location).exists()
    return "it has no identity yet" if is_there else "it is not there yet, and would be made: is the path right?"


def _binding(settings: Settings, storage: Storage, known: identity.Identity | None) -> Iterator[Check]:
    if settings.production_dsn is None:
        return
    try:
        with connected(settings.production_dsn, "doctor") as connection:
            bound = identity.bound_lake(connection)
    except OperatorError as error:
        yield note("lake of production", f"not known: {error.what}")
        return
    if bound is None:
        yield note("lake of production", "none: the exporter binds the first one; until then production drops nothing")
    elif known is None or bound.lake_id != known.lake_id:
        told = f"production is bound to {bound.location} ({bound.lake_id}), and KALSHI_LAKE is {storage.location}"
        yield failed("lake of production", f"{told}: correct it, or run kalshi-data lake bind", (EXPORTER,))
    else:
        yield judged("lake of production", f"production is bound to {bound.location}", ok=True)
