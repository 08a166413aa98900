import signal

import click

from app.errors import SettingsError
from app.settings import Settings

LOOK_SECONDS = 1.0


def _refuse_unknown_server(settings: Settings, demo: str) -> None:
    """A mistyped name would make a new server."""
    from app.demonstration.servers import server_folder

    if server_folder(settings.data_dir, demo).exists():
        return
    folder = server_folder(settings.data_dir, demo).parent
    known = sorted(each.parent.name for each in folder.glob("*/data"))
    told = f"Those in {folder}: {', '.join(known)}." if known else f"There is none in {folder}."
    fix = "name one of them." if known else "run kalshi-data demo first, with the same KALSHI_DATA_DIR."
    raise SettingsError(f"The demo has no server {demo}.", told, fix)


@click.command()
@click.option("--demo", metavar="NAME", help="A server of the demo's: production, or a gatherer's name such as one.")
@click.pass_obj
def postgres(settings: Settings, *, demo: str | None) -> None:
    """Run the embedded server, print how to reach it, and stop it at Ctrl-C."""
    from app.databases import Kind
    from app.demonstration.servers import kinds_of, server_folder
    from app.errors import ServerError
    from app.postgres.server import EmbeddedServer

    if demo:
        _refuse_unknown_server(settings, demo)
    folder = server_folder(settings.data_dir, demo) if demo else settings.data_dir / "postgres"
    signals = {signal.SIGINT, signal.SIGTERM}
    with EmbeddedServer(folder, settings.postgres_bin) as server:
        signal.pthread_sigmask(signal.SIG_BLOCK, signals)
        for kind in kinds_of(demo) if demo else Kind:
            click.echo(f"{server.psql} '{server.ensure_database(kind.database).reveal()}'")
        while signal.sigtimedwait(signals, LOOK_SECONDS) is None:
            if server.has_ended():
                raise ServerError("The embedded database server ended by itself.", fix=f"see {server.log_file}.")
