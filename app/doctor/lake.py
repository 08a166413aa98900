"""The lake: whether it can be read and written, and is the one that production is bound to."""

from collections.abc import Iterator
from pathlib import Path

from app.doctor.check import ARCHIVER, EXPORTER, Check, failed, judged, note
from app.errors import OperatorError
from app.lake import identity
from app.lake.dataset import RAW_TABLES, raw_folder
from app.lake.storage import Storage, storage_of
from app.postgres.connection import connected
from app.settings import Settings


def lake_checks(settings: Settings) -> Iterator[Check]:
    if settings.lake is None:
        told = "KALSHI_LAKE is not set: an exporter would write below KALSHI_DATA_DIR and bind nothing"
        yield note("lake", told, (ARCHIVER,))
        return
    try:
        storage = storage_of(settings)
        known = identity.known_identity(storage)
    except OperatorError as error:
        yield failed("lake", _in_one_line(error), (EXPORTER, ARCHIVER))
        return
    yield from _writable(settings, storage, known)
    yield from _binding(settings, storage, known)
    yield from _binding_of_gatherer(settings, storage, known)


def _writable(settings: Settings, storage: Storage, known: identity.Identity | None) -> Iterator[Check]:
    """All of it for an exporter; a gatherer's archiver may write its own folders alone."""
    raw = raw_folder(RAW_TABLES[0].name, settings.gatherer)
    is_gatherer_s = settings.ts_dsn is not None
    places = [("lake", "", EXPORTER)] if settings.production_dsn is not None or not is_gatherer_s else []
    places += [("lake's raw/", raw, ARCHIVER)] if is_gatherer_s else []
    for subject, folder, process in places:
        try:
            storage.prove_writable(folder)
        except OperatorError as error:
            yield failed(subject, _in_one_line(error), (process,))
            continue
        where = f"{storage.location}/{folder}" if folder else storage.location
        yield judged(subject, f"{where} can be written; {_named(storage, known)}", ok=True)


def _in_one_line(error: OperatorError) -> str:
    return " ".join(str(error).split("\n"))


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


def _binding_of_gatherer(settings: Settings, storage: Storage, known: identity.Identity | None) -> Iterator[Check]:
    if settings.ts_dsn is None:
        return
    subject = "lake of the gatherer"
    try:
        with connected(settings.ts_dsn, "doctor") as connection:
            bound = identity.bound_lake(connection)
    except OperatorError as error:
        yield note(subject, f"not known: {error.what}")
        return
    if bound is None:
        yield note(subject, "none: an archiver binds its database to the first one; until then it waits for none")
    elif bound.lake_id == identity.UNKNOWN:
        yield note(subject, f"{bound.location}, which nobody has reached yet")
    elif known is None or bound.lake_id != known.lake_id:
        told = f"its database is bound to {bound.location} ({bound.lake_id}), and KALSHI_LAKE is {storage.location}"
        yield failed(subject, f"{told}: correct it, or run kalshi-data lake bind --raw", (ARCHIVER,))
    else:
        yield judged(subject, f"its database is bound to {bound.location}", ok=True)
