"""Define the commands of kalshi-data, in files by subject. Heavy imports are inside commands: --help stays quick.

In: arguments and settings. Out: what a command prints, and its exit code; errors state what happened and the fix.
Read this file first: it lists all commands.
"""

import sys

import click

from app import __version__
from app.cli.databases import confirmations, maintain, migrate, postgres
from app.cli.demo import demo
from app.cli.lake import book, export_to, lake
from app.cli.lake_hours import export, verify
from app.cli.operate import backfill, coverage, doctor, metrics_command, rehearse, settings_command, status, token
from app.cli.options import SectionedGroup, check_config_option
from app.cli.report import report
from app.cli.simulator import simulator
from app.errors import OperatorError
from app.runtime import logs
from app.settings.loading import load_settings


@click.group(cls=SectionedGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="kalshi-data")
@check_config_option
@click.pass_context
def cli(context: click.Context) -> None:
    """Records a whole prediction exchange, and proves what it recorded."""
    if context.invoked_subcommand in {settings_command.name, metrics_command.name}:
        return  # settings_command must run even if the settings cannot be loaded; neither of the two needs them
    settings = load_settings()
    logs.configure(settings.log_format, settings.log_level)
    context.obj = settings


cli.add(demo, section="Try")
cli.add(migrate, section="Databases")
cli.add(maintain, section="Databases")
cli.add(confirmations, section="Databases")
cli.add(postgres, section="Databases")
cli.add(doctor, section="Operate")
cli.add(status, section="Operate")
cli.add(rehearse, section="Operate")
cli.add(backfill, section="Operate")
cli.add(coverage, section="Operate")
cli.add(report, section="Operate")
cli.add(token, section="Operate")
cli.add(settings_command, section="Operate")
cli.add(metrics_command, section="Operate")
cli.add(export, section="Lake")
cli.add(verify, section="Lake")
cli.add(export_to, section="Lake")
cli.add(book, section="Lake")
cli.add(lake, section="Lake")
cli.add(simulator, section="Simulate")


def main() -> None:
    """Run the command line. Exit codes: 0 done, 1 it could not be done, 2 the command or the settings are wrong."""
    try:
        cli()
    except OperatorError as error:
        click.echo(error, err=True)
        sys.exit(error.exit_code)
