import click

from app.tokens import ENTRY, Role, new_token


@click.command()
@click.argument("name")
@click.option("--role", type=click.Choice(["read", "operate"]), default="read", show_default=True)
def token(name: str, role: str) -> None:
    """Make a token for the admin service. It is shown once; the line for KALSHI_ADMIN_TOKENS_FILE holds its digest."""
    presented, made = new_token(name, Role[role.upper()])
    if ENTRY.fullmatch(made.entry) is None:
        raise click.BadParameter("letters, digits, dots, hyphens and underscores, at most 64.", param_hint="NAME")
    click.echo(f"token: {presented}")
    click.echo(f"line:  {made.entry}")
