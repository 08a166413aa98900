"""Commands with settings, in this process."""

from click.testing import CliRunner

from app.cli import cli


def invoke(settings, *arguments):
    return CliRunner(env=settings).invoke(cli, list(arguments))
