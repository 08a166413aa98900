import signal

import click

from app.settings import Settings

LOOK_SECONDS = 1.0


@click.command()
@click.option("--demo", is_flag=True, help="The demo's data instead of the recorder's.")
@click.pass_obj
def postgres(settings: Settings, *, demo: bool) -> None:
    """Run the embedded server, print how to reach it, and stop it at Ctrl-C."""
    from app.databases import Kind
    from app.errors import ServerError
    from app.postgres.server import EmbeddedServer

    folder = settings.data_dir / ("demo" if demo else "postgres")
    signals = {signal.SIGINT, signal.SIGTERM}
    with EmbeddedServer(folder, settings.postgres_bin) as server:
        signal.pthread_sigmask(signal.SIG_BLOCK, signals)
        for kind in Kind:
            click.echo(f"{server.psql} '{server.ensure_database(kind.database).reveal()}'")
        while signal.sigtimedwait(signals, LOOK_SECONDS) is None:
            if server.has_ended():
                raise ServerError("The embedded database server ended by itself.", fix=f"see {server.log_file}.")
