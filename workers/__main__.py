# Before anything else: a module that is imported first keeps the blocking socket, lock or sleep it has taken hold of.
from gevent import monkey

monkey.patch_all()

import sys  # noqa: E402

import click  # noqa: E402

from app import logs  # noqa: E402
from app.cli.check_config import check_config_option  # noqa: E402
from app.databases import chunk_budgets, given_databases  # noqa: E402
from app.environment import load_settings  # noqa: E402
from app.errors import OperatorError, SettingsError  # noqa: E402
from app.offload import threads  # noqa: E402
from app.settings import Settings  # noqa: E402
from workers.gatherer import Gatherer  # noqa: E402
from workers.group import Group  # noqa: E402
from workers.maintainer import Maintainer  # noqa: E402


@click.group()
@check_config_option
@click.pass_context
def workers(context: click.Context) -> None:
    """The processes that run for ever. Exit codes: 0 asked to stop, 1 failed, 2 wrong settings."""
    settings = load_settings()
    logs.configure(settings.log_format, settings.log_level)
    context.obj = settings


@workers.command()
@check_config_option
@click.pass_obj
def gatherer(settings: Settings) -> None:
    """Record everything that the exchange says into the two databases of this host."""
    Gatherer(settings).run()


@workers.command()
@check_config_option
@click.pass_obj
def maintainer(settings: Settings) -> None:
    """Keep chunks of the given databases: made ahead, compressed, dropped when old or over the disk budget."""
    budgets = chunk_budgets(settings)
    databases = [database for database in given_databases(settings) if database.kind in budgets]
    if not databases:
        raise SettingsError(
            "There is no database to look after.",
            "Neither KALSHI_TS_DSN nor KALSHI_PRODUCTION_DSN is set.",
            "set the one of this host.",
        )
    group = Group()
    offload = threads(len(databases))
    for database in databases:
        worker = Maintainer(database, budgets[database.kind], settings.maintenance_seconds, offload, group.stopping)
        group.spawn(worker.run)
    group.run_until_stopped()


if __name__ == "__main__":
    try:
        workers()
    except OperatorError as error:
        click.echo(error, err=True)
        sys.exit(error.exit_code)
