import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from app.postgres.dsn import Dsn

if TYPE_CHECKING:
    from click._termui_impl import ProgressBar


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
@click.option("--production", required=True, type=DsnType(), help="The production database, as a connection string.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.pass_context
def check(context: click.Context, folder: Path, production: Dsn, *, as_json: bool) -> None:
    """Compare a production database with what the simulator did.

    Exit code 0 only if nothing is lost, duplicated, unexpected or altered.
    """
    import msgspec

    from app.postgres.connection import connected
    from app.simulator.check.check import Check
    from app.simulator.check.production import Production
    from app.simulator.check.report_text import text_lines
    from app.simulator.truth.reader import TruthReader

    reader = TruthReader(folder)
    with connected(production) as connection, progress_bar(reader.count()) as bar:
        # One moment of the database for all questions, and nothing that could change it.
        connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
        report = Check(reader, Production(connection), bar.update).run()
    if as_json:
        shown = {"ok": report.is_clean, **msgspec.to_builtins(report)}
        click.echo(msgspec.json.format(msgspec.json.encode(shown), indent=2))
    else:
        click.echo("\n".join(text_lines(report)))
    context.exit(0 if report.is_clean else 1)
