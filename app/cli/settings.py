from pathlib import Path

import click

from app.settings_table import settings_table, with_table


@click.command(name="settings")
@click.option("--write", "file", type=click.Path(path_type=Path, exists=True), help="Put the table into this file.")
def settings_command(file: Path | None) -> None:
    """Show every setting, its default and what it means."""
    if file is None:
        click.echo(settings_table())
    else:
        file.write_text(with_table(file.read_text()))
