import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from app.settings import Settings


@click.command()
@click.option("--seconds", default=60.0, show_default=True, type=click.FloatRange(1, 600), help="To listen.")
@click.option("--markets", default=10, show_default=True, type=click.IntRange(1, 100), help="The busiest ones.")
@click.option(
    "--sockets",
    type=click.IntRange(0, 1_000),
    help="To open at once. Default: what all gatherers of the account open. Give 0 while some record with this key.",
)
@click.option("--bundle", type=click.Path(path_type=Path, dir_okay=False), help="File for a bug report (.tar.gz).")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.option("--list", "lists", is_flag=True, help="Only print the assumptions, as a table.")
@click.option("--write", "file", type=click.Path(path_type=Path, exists=True), help="Only put that table in this file.")
@click.pass_obj
def rehearse(
    settings: Settings,
    *,
    seconds: float,
    markets: int,
    sockets: int | None,
    bundle: Path | None,
    as_json: bool,
    lists: bool,
    file: Path | None,
) -> None:
    """Ask the exchange whether it is what this platform takes it for. It only reads, for a few minutes.

    Exit 0: every assumption holds, or could not be judged. Exit 1: one does not hold. The bundle holds samples of what
    the exchange said, no keys; it is written to KALSHI_DATA_DIR/rehearsals if no file is given.
    """
    import msgspec

    from app.rehearsal.assumptions_table import assumptions_table, with_table

    if file is not None:
        file.write_text(with_table(file.read_text()))
        return
    if lists:
        click.echo(assumptions_table())
        return
    from app.rehearsal.bundle import write_bundle
    from app.rehearsal.rehearsal import Plan, rehearse

    report = rehearse(settings, Plan(seconds, markets, sockets), lambda text: click.echo(text, err=True))
    path = bundle or settings.data_dir / "rehearsals" / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}.tar.gz"
    write_bundle(path, report, settings)
    click.echo(msgspec.json.encode(report.facts()) if as_json else "\n".join(report.lines()))
    click.echo(f"{path} may be attached to a report of a fault: it holds samples of the exchange's data", err=True)
    if not report.is_sound:
        sys.exit(1)
