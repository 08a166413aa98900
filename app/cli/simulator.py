from datetime import UTC, datetime
from pathlib import Path

import click

from app.cli.simulator_check import check
from app.clock import now_us
from app.settings import Settings
from app.simulator.rest.tiers import TIERS

PORT = click.IntRange(0, 65_535)
POSITIVE = click.FloatRange(min=0, min_open=True)


def read_key(_context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, Path]:
    keys = {}
    for value in values:
        key_id, separator, file = value.partition("=")
        if not (key_id and separator and file):
            raise click.BadParameter("give KEY_ID=FILE")
        keys[key_id] = Path(file)
    return keys


def read_start(_context: click.Context, _parameter: click.Parameter, value: str | None) -> int | None:
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise click.BadParameter("give a time such as 2026-11-21T15:00:00Z") from None
    return int(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()) * 1_000_000


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
@click.option("--start", "start_us", callback=read_start, help="The exchange's time at the start; now, if not given.")
@click.option("--speed", default=1.0, type=POSITIVE, show_default=True, help="Seconds of the exchange in one of ours.")
@click.option("--stop-after", type=POSITIVE, help="End after so many of the exchange's seconds.")
@click.option("--folder", type=click.Path(path_type=Path), help="Of the demo keys, and of truths that are not named.")
@click.option("--truth", type=click.Path(path_type=Path), help="New folder for what happened and what was sent.")
@click.option("--key", "public_keys", multiple=True, callback=read_key, help="KEY_ID=PUBLIC_KEY.pem; repeatable.")
@click.option("--plan", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="JSON file of faults.")
@click.option("--tier", type=click.Choice(list(TIERS)), default="basic", show_default=True, help="Of request limits.")
@click.option("--error-shape", type=click.Choice(["nested", "flat"]), default="nested", show_default=True)
@click.option("--hidden-seconds", default=0.0, help="How long a new market is not found by its ticker.")
@click.option(
    "--live-days", default=60, show_default=True, help="Older trades, and markets that settled before, are historical."
)
@click.option("--signature-tolerance", default=30.0, show_default=True, help="Seconds a signature may be off.")
@click.option("--buffer-frames", default=10_000, show_default=True, help="Of a subscription, until error 25.")
@click.option("--connections-per-user", default=200, show_default=True)
@click.option("--markets-per-session", default=500_000, show_default=True)
@click.option("--commands-per-second", default=10_000, show_default=True)
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
    """Run a faithful Kalshi on loopback, which knows what it sent."""
    if context.invoked_subcommand is not None:
        return
    # The import patches the interpreter: nothing else may run in this process.
    from app.simulator.limits import Limits
    from app.simulator.options import Options
    from app.simulator.process import run

    settings: Settings = context.obj
    folder = folder or settings.data_dir / "simulator"
    run(
        Options(
            truth=truth or folder / "truth" / datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ"),
            demo_keys=folder / "keys",
            changes_per_second=rate,
            start_us=now_us() if start_us is None else start_us,  # now: the imports are done
            stop_after_seconds=stop_after,
            signature_tolerance_seconds=signature_tolerance,
            limits=Limits(connections_per_user, markets_per_session, commands_per_second, buffer_frames, heartbeat),
            **options,  # type: ignore[arg-type] # each is the option of its name
        )
    )


simulator.add_command(check)
