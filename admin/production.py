from app.databases import Kind
from app.errors import OperatorError
from app.postgres.connection import connected
from app.settings import Settings
from app.store.migrations import applied_migrations, migrations_of, pending


def why_production_is_not_ready(settings: Settings) -> str | None:
    if settings.production_dsn is None:
        return "KALSHI_PRODUCTION_DSN is not set."
    try:
        with connected(settings.production_dsn, "admin") as connection:
            waiting = pending(applied_migrations(connection), migrations_of(Kind.PRODUCTION))
    except OperatorError as error:
        return error.what
    return f"{len(waiting)} migrations are to be applied: kalshi-data migrate." if waiting else None
