from app.postgres.connection import connected
from app.postgres.databases import DatabaseKind
from app.storage.migrations import migrate, migrations_of


def migrated_database(server, kind=DatabaseKind.TIMESERIES):
    dsn = server.ensure_database(kind.database)
    with connected(dsn) as connection:
        migrate(connection, migrations_of(kind))
    return dsn
