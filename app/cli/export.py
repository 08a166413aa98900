import click

from app.cli.archive import archive_of, chosen, moment, which_hours
from app.cli.moment import refuse_reversed
from app.cli.progress import progress
from app.errors import OperatorError
from app.settings import Settings


@click.command()
@which_hours
@click.pass_obj
def export(settings: Settings, tables: tuple[str, ...], start_us: int, end_us: int, raw: bool) -> None:
    """Write hours to the lake as Parquet, also those that have not ended. What is there already is written again.

    `python -m workers exporter` does it for ever, for every hour that has ended.
    """
    refuse_reversed(start_us, end_us)
    from app.lake.asked_hours import MOST_TOLD
    from app.lake.hours import hour_of
    from app.lake.storage import StorageError

    start, end = hour_of(moment(start_us)), moment(end_us)
    with archive_of(settings, raw=raw) as archive, archive.opened() as opened:
        work = []
        for dataset in chosen(archive, tables):
            opened.survey(dataset)
            work += [(dataset, hour) for hour in opened.ledger.hours(dataset, start, end)]
        written, failed = 0, []
        with progress(work, "Writing hours") as hours:
            for dataset, hour in hours:
                try:
                    written += opened.export(dataset, hour)
                except StorageError as error:
                    failed.append(f"{dataset.name} {hour:%Y-%m-%dT%H}: {error}")
        days = 0
        while not raw and opened.candles.make_next():
            days += 1
    if not work:
        click.echo("There is nothing to export: no such hour has rows in the database.", err=True)
    left = len(work) - written - len(failed)
    click.echo(f"wrote {written} hours and the candles of {days} days; {left} are left to another process")
    if failed:
        raise OperatorError(f"{len(failed)} of {len(work)} hours could not be written.", "\n".join(failed[:MOST_TOLD]))
