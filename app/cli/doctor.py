import sys

import click

from app.settings import Settings


@click.command()
@click.pass_obj
def doctor(settings: Settings) -> None:
    """Check what the platform stands on; exit 1 when something is wrong."""
    from app.doctor import checks

    failed = 0
    for check in checks(settings):
        click.echo(f"{'ok  ' if check.ok else 'FAIL'} {check.subject}: {check.finding}")
        failed += not check.ok
    if failed:
        sys.exit(1)
