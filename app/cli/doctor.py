import sys
from typing import TYPE_CHECKING

import click

from app.settings import Settings

if TYPE_CHECKING:
    from app.doctor.check import Check


@click.command()
@click.pass_obj
def doctor(settings: Settings) -> None:
    """Check what the platform stands on, and tell what this host can run. Exit 1 when something is wrong.

    It looks at the host, files, databases, those of the gatherers, the exchange and the lake, as far as settings name
    them, and changes nothing.
    """
    from app.doctor.check import State
    from app.doctor.checks import checks

    done = []
    for check in checks(settings):
        click.echo(f"{check.state.value:4} {check.subject}: {check.finding}")
        done.append(check)
    click.echo(f"this host can run: {'; '.join(_runs(done))}")
    if any(check.state is State.FAIL for check in done):
        sys.exit(1)


def _runs(done: list["Check"]) -> list[str]:
    from app.doctor.check import hindrances

    found = hindrances(done).items()
    return [f"{process} " + (f"no ({', '.join(why)})" if why else "yes") for process, why in found]
