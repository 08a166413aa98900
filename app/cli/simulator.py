"""Define the commands of the simulator: run it, and check what was recorded against its truth."""

import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from app.cli.options import FiniteRange, about_lake, parsed_moment
from app.postgres.dsn import Dsn
from app.settings import Settings
from app.simulator.limits import TIERS
from app.simulator.market.profiles import PROFILES, QUIET

if TYPE_CHECKING:
    from click._termui_impl import ProgressBar

    from app.simulator.check.report import SimReport


class DsnType(click.ParamType[Dsn]):
    """Parameter type for a database's connection string."""

    name = "dsn"

    def convert(self, value: object, parameter: click.Parameter | None, context: click.Context | None) -> Dsn:
        if isinstance(value, Dsn):
            return value
        try:
            return Dsn(str(value))
        except ValueError as error:
            self.fail(str(error), parameter, context)


def progress_bar(changes: int) -> "ProgressBar[int]":
    """Return a bar on standard error; it is hidden if that is not a terminal."""
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
) -> Iterator[tuple[str, "SimReport"]]:
    """Yield the report of each place that was named, and its name."""
    from app.postgres.connection import connected
    from app.simulator.check.check import SimCheck
    from app.simulator.check.databases import GathererRows, ProductionRows
    from app.simulator.check.lake import LakeRows
    from app.simulator.truth import TruthReader

    reader = TruthReader(folder)
    files = LakeRows(lake) if lake is not None else None
    for place, dsn, kind in (("production", production, ProductionRows), ("gatherer", gatherer, GathererRows)):
        if dsn is not None:
            with connected(dsn) as connection, progress_bar(reader.count()) as bar:
                # One snapshot of the database for all queries, read-only.
                connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
                yield place, SimCheck(reader, kind(connection), bar.update).run()
    if files is not None:
        with progress_bar(reader.count()) as bar:
            yield "lake", SimCheck(reader, files, bar.update).run()


def as_objects(reports: dict[str, "SimReport"]) -> str:
    """Return the reports as one JSON object with a member for each place."""
    import msgspec

    shown = {place: {"ok": report.is_clean, **msgspec.to_builtins(report)} for place, report in reports.items()}
    return msgspec.json.format(msgspec.json.encode(shown), indent=2).decode()


def as_lines(reports: dict[str, "SimReport"]) -> str:
    """Return the reports as lines for a person."""
    from app.simulator.check.report import text_lines

    return "\n".join(line for place, report in reports.items() for line in text_lines(place, report))


PORT = click.IntRange(0, 65_535)
POSITIVE = FiniteRange(min=0, min_open=True)
NOT_NEGATIVE = FiniteRange(min=0)
AT_LEAST_ONE = click.IntRange(1)


def read_key(_context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, Path]:
    """Parse KEY_ID=FILE pairs."""
    keys = {}
    for value in values:
        key_id, separator, file = value.partition("=")
        if not (key_id and separator and file):
            raise click.BadParameter("give KEY_ID=FILE")
        keys[key_id] = Path(file)
    return keys


def read_start(_context: click.Context, _parameter: click.Parameter, value: str | None) -> int | None:
    return None if value is None else int(parsed_moment(value).timestamp()) * 1_000_000


@click.group(invoke_without_command=True)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--rest-port", default=0, type=PORT, help="0: any free one.")
@click.option("--websocket-port", default=0, type=PORT, help="0: any free one.")
@click.option("--control-port", default=0, type=PORT, help="0: any free one.")
@click.option(
    "--certificate",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="PEM file with a chain and its key: the socket is wss then.",
)
@click.option("--wire", type=click.Choice(["dollars", "cents"]), default="dollars", show_default=True, help="Era.")
@click.option("--seed", default=1, show_default=True, help="The same seed and start: the same history.")
@click.option("--markets", default=1_000, show_default=True, type=click.IntRange(1, 10_000_000), help="At the start.")
@click.option("--rate", default=200, show_default=True, type=click.IntRange(0), help="Changes a second.")
@click.option("--profile", type=click.Choice(list(PROFILES)), default=QUIET, show_default=True, help="Of the traders.")
@click.option("--start", "start_us", callback=read_start, help="The exchange's time at the start; now, if not given.")
@click.option("--speed", default=1.0, type=POSITIVE, show_default=True, help="Seconds of the exchange in one of ours.")
@click.option("--stop-after", type=POSITIVE, help="End after so many of the exchange's seconds.")
@click.option("--folder", type=click.Path(path_type=Path), help="Of the demo keys, and of truths that are not named.")
@click.option("--truth", type=click.Path(path_type=Path), help="New folder for what happened and what was sent.")
@click.option("--key", "public_keys", multiple=True, callback=read_key, help="KEY_ID=PUBLIC_KEY.pem; repeatable.")
@click.option("--plan", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="JSON file of faults.")
@click.option("--tier", type=click.Choice(list(TIERS)), default="basic", show_default=True, help="Of request limits.")
@click.option("--error-shape", type=click.Choice(["nested", "flat"]), default="nested", show_default=True)
@click.option(
    "--hidden-seconds", default=0.0, type=NOT_NEGATIVE, help="How long a new market is not found by its ticker."
)
@click.option(
    "--live-days",
    default=60,
    type=click.IntRange(0, 100_000),
    show_default=True,
    help="Older trades, and markets that settled before, are historical.",
)
@click.option(
    "--signature-tolerance", default=30.0, type=NOT_NEGATIVE, show_default=True, help="Seconds a signature may be off."
)
@click.option(
    "--buffer-frames", default=10_000, type=AT_LEAST_ONE, show_default=True, help="Of a subscription, until error 25."
)
@click.option("--connections-per-user", default=200, type=AT_LEAST_ONE, show_default=True)
@click.option("--markets-per-session", default=500_000, type=AT_LEAST_ONE, show_default=True)
@click.option("--commands-per-second", default=10_000, type=AT_LEAST_ONE, show_default=True)
@click.option("--heartbeat", default=10.0, type=POSITIVE, show_default=True, help="Seconds between two pings.")
@click.option("--blast", is_flag=True, help="No history: deltas as fast as each client reads.")
@click.pass_context
def simulator(
    context: click.Context,
    /,
    *,
    folder: Path | None,
    truth: Path | None,
    rate: int,
    start_us: int | None,
    stop_after: float | None,
    signature_tolerance: float,
    buffer_frames: int,
    connections_per_user: int,
    markets_per_session: int,
    commands_per_second: int,
    heartbeat: float,
    **options: object,
) -> None:
    """Run a simulated Kalshi on loopback, which records what it sent."""
    if context.invoked_subcommand is not None:
        return
    # The import patches the interpreter, so only the simulator may run in this process.
    from app.simulator.limits import SimLimits
    from app.simulator.process import run
    from app.simulator.simulator import Options

    settings: Settings = context.obj
    folder = folder or settings.data_dir / "simulator"
    run(
        Options(
            truth=truth or folder / "truth" / datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ"),
            demo_keys=folder / "keys",
            changes_per_second=rate,
            start_us=start_us,
            stop_after_seconds=stop_after,
            signature_tolerance_seconds=signature_tolerance,
            limits=SimLimits(connections_per_user, markets_per_session, commands_per_second, buffer_frames, heartbeat),
            **options,  # type: ignore[arg-type] # each is the option of its name
        )
    )


simulator.add_command(check)


@simulator.command()
@click.option("--into", "folder", required=True, type=click.Path(path_type=Path, file_okay=False), help="A new folder.")
@click.option("--seed", default=1, show_default=True, help="The same seed: the same rows.")
def sample(folder: Path, seed: int) -> None:
    """Make a sample lake of one simulated hour, in seconds: 2 MB, with two declared holes."""
    from app.errors import OperatorError
    from app.simulator.sample import make_sample

    if folder.exists() and any(folder.iterdir()):
        raise OperatorError(f"{folder} is not empty.", fix="name a new folder, or remove this one first.")
    rows = make_sample(folder, seed)
    click.echo(f"It has {rows} rows.")
    click.echo(about_lake(folder))
