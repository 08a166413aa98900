import signal

import click

from app.settings import Settings

LOOK_SECONDS = 1.0


@click.command()
@click.option("--demo", metavar="NAME", help="A server of the demo's: production, or a gatherer's name such as one.")
@click.pass_obj
def postgres(settings: Settings, *, demo: str | None) -> None:
    """Run the embedded server, print how to reach it, and stop it at Ctrl-C."""
    from app.databases import Kind
    from app.demonstration.servers import kinds_of, server_folder
    from app.errors import ServerError
    from app.postgres.server import EmbeddedServer

    folder = server_folder(settings.data_dir, demo) if demo else settings.data_dir / "postgres"
    signals = {signal.SIGINT, signal.SIGTERM}
    with EmbeddedServer(folder, settings.postgres_bin) as server:
        signal.pthread_sigmask(signal.SIG_BLOCK, signals)
        for kind in kinds_of(demo) if demo else Kind:
            click.echo(f"{server.psql} '{server.ensure_database(kind.database).reveal()}'")
        while signal.sigtimedwait(signals, LOOK_SECONDS) is None:
            if server.has_ended():
                raise ServerError("The embedded database server ended by itself.", fix=f"see {server.log_file}.")
