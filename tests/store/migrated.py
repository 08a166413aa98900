from app.databases import Kind
from app.postgres.connection import connected
from app.store.migrations import migrate, migrations_of


def migrated_database(server, kind=Kind.TIMESERIES):
    dsn = server.ensure_database(kind.database)
    with connected(dsn) as connection:
        migrate(connection, migrations_of(kind))
    return dsn
