import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from app.postgres.dsn import Dsn

if TYPE_CHECKING:
    from click._termui_impl import ProgressBar

    from app.simulator.check.findings import Report


class DsnType(click.ParamType[Dsn]):
    name = "dsn"

    def convert(self, value: object, parameter: click.Parameter | None, context: click.Context | None) -> Dsn:
        if isinstance(value, Dsn):
            return value
        try:
            return Dsn(str(value))
        except ValueError as error:
            self.fail(str(error), parameter, context)


def progress_bar(changes: int) -> "ProgressBar[int]":
    """On a terminal alone; apart from what is printed."""
    return click.progressbar(length=changes, label="Comparing", file=sys.stderr, hidden=not sys.stderr.isatty())


@click.command()
@click.option(
    "--truth",
    "folder",
    required=True,
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="The folder that the simulator wrote the truth to.",
)
@click.option("--production", type=DsnType(), help="A production database, as a connection string.")
@click.option("--gatherer", type=DsnType(), help="A gatherer's time series database, as a connection string.")
@click.option(
    "--lake",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="The folder of a lake, with processed/ in it.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.pass_context
def check(
    context: click.Context,
    folder: Path,
    production: Dsn | None,
    gatherer: Dsn | None,
    lake: Path | None,
    *,
    as_json: bool,
) -> None:
    """Compare a production database, a gatherer's, a lake or all of them with what the simulator did.

    Exit code 0 only if nothing is lost, duplicated, unexpected or altered.
    """
    if production is None and gatherer is None and lake is None:
        raise click.UsageError("Name what to compare: --production, --gatherer, --lake or several.")
    reports = dict(_reports(folder, production, gatherer, lake))
    click.echo(as_objects(reports) if as_json else as_lines(reports))
    context.exit(0 if all(report.is_clean for report in reports.values()) else 1)


def _reports(
    folder: Path, production: Dsn | None, gatherer: Dsn | None, lake: Path | None
) -> Iterator[tuple[str, "Report"]]:
    from app.postgres.connection import connected
    from app.simulator.check.check import Check
    from app.simulator.check.gatherer import Gatherer
    from app.simulator.check.lake import Lake
    from app.simulator.check.production import Production
    from app.simulator.truth.reader import TruthReader

    reader = TruthReader(folder)
    files = Lake(lake) if lake is not None else None
    for place, dsn, kind in (("production", production, Production), ("gatherer", gatherer, Gatherer)):
        if dsn is not None:
            with connected(dsn) as connection, progress_bar(reader.count()) as bar:
                # One moment of the database for all questions, and nothing that could change it.
                connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
                yield place, Check(reader, kind(connection), bar.update).run()
    if files is not None:
        with progress_bar(reader.count()) as bar:
            yield "lake", Check(reader, files, bar.update).run()


def as_objects(reports: dict[str, "Report"]) -> str:
    """One object for each place that was compared."""
    import msgspec

    shown = {place: {"ok": report.is_clean, **msgspec.to_builtins(report)} for place, report in reports.items()}
    return msgspec.json.format(msgspec.json.encode(shown), indent=2).decode()


def as_lines(reports: dict[str, "Report"]) -> str:
    from app.simulator.check.report_text import text_lines

    return "\n".join(line for place, report in reports.items() for line in text_lines(place, report))
