import sys

import click

from app.cli.archive import archive_of, chosen, moment, which_hours
from app.settings import Settings


@click.command()
@which_hours
@click.pass_obj
def export(settings: Settings, tables: tuple[str, ...], start_us: int, end_us: int, raw: bool) -> None:
    """Write hours to the lake as Parquet, also those that have not ended. What is there already is written again.

    `python -m workers exporter` does it for ever, for every hour that has ended.
    """
    from app.lake.hours import hour_of

    start, end = hour_of(moment(start_us)), moment(end_us)
    with archive_of(settings, raw=raw) as archive, archive.opened() as opened:
        work = []
        for dataset in chosen(archive, tables):
            opened.survey(dataset)
            work += [(dataset, hour) for hour in opened.ledger.hours(dataset, start, end)]
        written = 0
        hidden = not sys.stderr.isatty()
        with click.progressbar(work, label="Writing hours", file=sys.stderr, hidden=hidden) as hours:
            for dataset, hour in hours:
                written += opened.export(dataset, hour)
        days = 0
        while not raw and opened.candles.make_next():
            days += 1
    left = len(work) - written
    click.echo(f"wrote {written} hours and the candles of {days} days; {left} are left to another process")
