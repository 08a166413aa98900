from collections.abc import Callable
from typing import Any

import click

from app.environment import load_settings
from app.settings import Settings
from app.settings_warnings import warnings_of


def nothing_more(_settings: Settings) -> None:
    """Settings that can be loaded are enough."""


def check_config(needs: Callable[[Settings], object] = nothing_more) -> Callable[[Any], Any]:
    """The option that looks at the settings and ends. What a process needs of them raises where it is missing."""

    def check(context: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
        if wanted:
            settings = load_settings()
            needs(settings)
            for warning in warnings_of(settings):
                click.echo(f"warning: {warning}")
            click.echo("The settings are fine.")
            context.exit()

    return click.option(
        "--check-config",
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=check,
        help="Check the settings and exit.",
    )


check_config_option = check_config()
