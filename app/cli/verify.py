import sys
from collections import Counter

import click

from app.cli.archive import archive_of, chosen, moment, which_hours
from app.cli.moment import refuse_reversed
from app.cli.progress import progress
from app.errors import OperatorError
from app.settings import Settings


@click.command()
@which_hours
@click.pass_obj
def verify(settings: Settings, tables: tuple[str, ...], start_us: int, end_us: int, raw: bool) -> None:
    """Read the lake back, and compare it with its manifests and the database. Exit 1 if anything differs."""
    refuse_reversed(start_us, end_us)
    from app.lake.hours import hour_of
    from app.lake.storage import StorageError
    from app.lake.verifier import WRONG, Finding, Verdict

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
                try:
                    finding = opened.verify(dataset, hour)
                except StorageError as error:
                    finding = Finding(Verdict.UNREADABLE, 0, str(error))
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
