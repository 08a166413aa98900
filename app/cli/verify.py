import sys
from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING

import click

from app.cli.archive import archive_of, chosen, moment, which_hours
from app.cli.moment import refuse_reversed
from app.cli.progress import progress
from app.errors import OperatorError
from app.settings import Settings

if TYPE_CHECKING:
    from app.lake.archive import OpenArchive
    from app.lake.dataset import Dataset
    from app.lake.verifier import Finding


@click.command()
@which_hours
@click.pass_obj
def verify(settings: Settings, tables: tuple[str, ...], start_us: int, end_us: int, raw: bool) -> None:
    """Read the lake back, and compare it with its manifests and the database. Exit 1 if anything differs."""
    refuse_reversed(start_us, end_us)
    from app.lake.hours import hour_of
    from app.lake.verifier import WRONG, Verdict

    start, end = hour_of(moment(start_us)), moment(end_us)
    found: Counter[Verdict] = Counter()
    rows = 0
    with archive_of(settings, raw=raw) as archive, archive.opened() as opened:
        work = []
        for dataset in chosen(archive, tables):
            opened.survey(dataset)
            work += [(dataset, hour) for hour in opened.ledger.hours(dataset, start, end)]
        with progress(work, "Reading hours") as hours:
            for dataset, hour in hours:
                finding = _finding_of(opened, dataset, hour)
                found[finding.verdict] += 1
                rows += finding.rows
                if finding.verdict in WRONG:
                    click.echo(f"{dataset.name} {hour:%Y-%m-%dT%H}: {finding.difference}", err=True)
    if not work:
        raise OperatorError(
            "There was nothing to verify.",
            "Neither the database nor the lake has hours of that time.",
            "check --from, --to and KALSHI_LAKE; kalshi-data export writes hours.",
        )
    for verdict, count in found.items():
        click.echo(f"{count} hours: {verdict.value}")
    click.echo(f"{rows} rows were read back")
    if any(found[verdict] for verdict in WRONG):
        sys.exit(1)


def _finding_of(archive: "OpenArchive", dataset: "Dataset", hour: datetime) -> "Finding":
    from app.lake.storage import InGlacierError, StorageError
    from app.lake.verifier import Finding, Verdict

    try:
        return archive.verify(dataset, hour)
    except InGlacierError as error:
        return Finding(Verdict.IN_GLACIER, 0, str(error))
    except StorageError as error:
        return Finding(Verdict.UNREADABLE, 0, str(error))
