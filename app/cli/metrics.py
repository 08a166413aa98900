from pathlib import Path

import click


@click.command(name="metrics")
@click.option("--write", "file", type=click.Path(path_type=Path, exists=True), help="Put the table into this file.")
def metrics_command(file: Path | None) -> None:
    """Show every metric, its labels and what it means."""
    from app.metrics_table import metrics_table, with_table

    if file is None:
        click.echo(metrics_table())
    else:
        file.write_text(with_table(file.read_text()))
