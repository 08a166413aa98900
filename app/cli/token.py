from datetime import UTC, datetime, timedelta

import click

from app.tokens import ENTRY, LIFETIME_DAYS, LONGEST_LIFETIME_DAYS, Role, new_token


@click.command()
@click.argument("name")
@click.option("--role", type=click.Choice(["read", "operate"]), default="read", show_default=True)
@click.option(
    "--days",
    type=click.IntRange(1, LONGEST_LIFETIME_DAYS),
    default=LIFETIME_DAYS,
    show_default=True,
    help="Days until it expires.",
)
def token(name: str, role: str, days: int) -> None:
    """Make a token for the admin service. It is shown once; the line for KALSHI_ADMIN_TOKENS_FILE holds its digest and
    the day on which it expires."""
    expires = datetime.now(UTC).date() + timedelta(days=days)
    presented, made = new_token(name, Role[role.upper()], expires)
    if ENTRY.fullmatch(made.entry) is None:
        raise click.BadParameter("letters, digits, dots, hyphens and underscores, at most 64.", param_hint="NAME")
    click.echo(f"token:   {presented}")
    click.echo(f"line:    {made.entry}")
    click.echo(f"expires: {expires.isoformat()} at 00:00 UTC")
