"""Define the command that runs the demo."""

import os
import sys

import click

from app.cli.options import FiniteRange, about_lake
from app.runtime import logs
from app.settings import Settings


@click.command()
@click.option("--seconds", type=FiniteRange(min=1), help="Stop after so many seconds; default: at Ctrl-C.")
@click.option("--chaos", is_flag=True, help="Cause a different fault at each gatherer. Needs --seconds.")
@click.option("--live", is_flag=True, help="Record the real exchange, with your key, instead of a simulated one.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print the summary as one JSON object; progress goes to standard error."
)
@click.pass_obj
def demo(settings: Settings, *, seconds: float | None, chaos: bool, live: bool, as_json: bool) -> None:
    """Run the whole platform on this machine and prove what it recorded. Exit 1 if the proof fails.

    The data stays in KALSHI_DATA_DIR/demo, and the next start continues with it.
    """
    if chaos and (seconds is None or live):
        raise click.UsageError("--chaos needs --seconds, and the simulated exchange.")
    import msgspec

    from app.demo.processes import server_folder
    from app.demo.runs import run_live, run_simulated
    from app.demo.screen import Screen
    from app.demo.summary import text_lines

    if "KALSHI_LOG_LEVEL" not in os.environ:
        logs.configure(settings.log_format, "warning")  # of what is set up, the screen tells enough
    lake = server_folder(settings.data_dir, "lake")
    screen = Screen(sys.stderr if as_json else sys.stdout)
    if live:
        run_live(settings, screen, seconds)
        click.echo(about_lake(lake))
        return
    summary = run_simulated(settings, screen, seconds, with_chaos=chaos)
    if as_json:
        click.echo(msgspec.json.encode(summary))
    else:
        for line in text_lines(summary):
            click.echo(line)
        click.echo(f"The data stays. To query it: {sys.argv[0]} postgres --demo production")
        click.echo(about_lake(lake))
    if not summary.held:
        sys.exit(1)
