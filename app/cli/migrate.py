import click

from app.settings import Settings


@click.command()
@click.option("--dry-run", is_flag=True, help="Only list what would be applied.")
@click.pass_obj
def migrate(settings: Settings, *, dry_run: bool) -> None:
    """Bring the databases to this version's schema."""
    from app.databases import open_databases
    from app.postgres.connection import connected
    from app.store import migrations

    with open_databases(settings) as databases:
        for kind, dsn in databases:
            known = migrations.migrations_of(kind)
            with connected(dsn) as connection:
                if dry_run:
                    waiting = migrations.pending(migrations.applied_migrations(connection), known)
                else:
                    waiting = migrations.migrate(connection, known)
            names = ", ".join(migration.name for migration in waiting) or "nothing"
            click.echo(f"{kind.database}: {'to apply' if dry_run else 'applied'} {names}")
