import click

from app.environment import load_settings


def _check_config(context: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    if wanted:
        load_settings()
        click.echo("The settings are fine.")
        context.exit()


check_config_option = click.option(
    "--check-config",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_check_config,
    help="Check the settings and exit.",
)
