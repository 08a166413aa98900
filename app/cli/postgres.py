import signal

import click

from app.settings import Settings


@click.command()
@click.option("--demo", is_flag=True, help="The demo's data instead of the recorder's.")
@click.pass_obj
def postgres(settings: Settings, *, demo: bool) -> None:
    """Run the embedded server, print how to reach it, and stop it at Ctrl-C."""
    from app.databases import Kind
    from app.postgres.server import EmbeddedServer

    folder = settings.data_dir / ("demo" if demo else "postgres")
    # Before the server starts, so that a signal at any moment finds somebody who waits for it.
    signals = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    with EmbeddedServer(folder, settings.postgres_bin) as server:
        for kind in Kind:
            click.echo(f"psql '{server.ensure_database(kind.database).reveal()}'")
        signal.sigwait(signals)
