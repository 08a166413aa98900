"""Real databases that go away, come back as they were earlier, or are made anew: all of them on one server."""

import itertools
import uuid

import psycopg2
from psycopg2 import sql

from app.postgres.databases import DatabaseKind
from tests.claims.moments import BEGINNING, BEGINNING_US
from tests.servers import new_database

CHUNKS = """
    SELECT ensure_chunk(table_name, moment)
    FROM chunked_tables, generate_series(%(now)s - INTERVAL '1 hour', %(now)s + INTERVAL '2 hours', '1 hour') AS moment
"""
# Who asks a database for the time, or which server it is on, is told by functions that come before PostgreSQL's own.
SIMULATED = """
    CREATE TABLE simulated_time (now_us BIGINT NOT NULL);
    INSERT INTO simulated_time VALUES (%(now_us)s);
    CREATE FUNCTION public.now() RETURNS TIMESTAMPTZ LANGUAGE sql STABLE AS
        $$ SELECT TIMESTAMPTZ 'epoch' + now_us * INTERVAL '1 microsecond' FROM public.simulated_time $$;
    CREATE TABLE simulated_server (system_identifier BIGINT NOT NULL);
    INSERT INTO simulated_server VALUES (1);
    CREATE FUNCTION public.pg_control_system() RETURNS TABLE (system_identifier BIGINT) LANGUAGE sql STABLE AS
        $$ SELECT system_identifier FROM public.simulated_server $$;
    DO $$
    DECLARE
        own RECORD;
    BEGIN
        FOR own IN
            SELECT adrelid::REGCLASS AS of_table, attname AS name
            FROM pg_attrdef JOIN pg_attribute ON attrelid = adrelid AND attnum = adnum
            WHERE pg_get_expr(adbin, adrelid) = 'now()'
        LOOP
            EXECUTE format('ALTER TABLE %%s ALTER COLUMN %%I SET DEFAULT public.now()', own.of_table, own.name);
        END LOOP;
    END
    $$;
"""
SET_TIME = "UPDATE simulated_time SET now_us = %s"
identifiers = itertools.count(1_000)


class Laboratory:
    """A server with templates of databases in which time and the server's identity are simulated."""

    def __init__(self, server, templates):
        self.server = server
        self._maintenance = psycopg2.connect(server.dsn("postgres").reveal())
        self._maintenance.autocommit = True
        self._templates = {
            kind: self._prepared(templates[kind]) for kind in (DatabaseKind.TIMESERIES, DatabaseKind.PRODUCTION)
        }

    def close(self):
        for template in self._templates.values():
            self.drop(template.database)
        self._maintenance.close()

    def database(self, kind):
        return Database(self, kind)

    def say(self, statement, *names):
        with self._maintenance.cursor() as cursor:
            cursor.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))

    def clone(self, name, template):
        self.say("CREATE DATABASE {} TEMPLATE {}", name, template)
        self.say("ALTER DATABASE {} SET search_path = public, pg_catalog", name)
        return self.server.dsn(name)

    def drop(self, name):
        self.say("DROP DATABASE IF EXISTS {} WITH (FORCE)", name)

    def template(self, kind):
        return self._templates[kind].database

    def end_sessions(self, name):
        with self._maintenance.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))

    def _prepared(self, template):
        dsn = new_database(self.server, template)
        ask(dsn, CHUNKS, {"now": BEGINNING})
        ask(dsn, SIMULATED, {"now_us": BEGINNING_US})
        return dsn


class Database:
    """One address, at which one database after the other may be found."""

    def __init__(self, laboratory, kind):
        self.kind = kind
        self.is_away = False
        self.name = f"claims_{uuid.uuid4().hex}"
        self._laboratory = laboratory
        self._states = itertools.count(1)
        self._earlier = []
        self._session = None
        self.dsn = laboratory.clone(self.name, laboratory.template(kind))
        self._identify()

    def set_time(self, now_us):
        self.ask(SET_TIME, (now_us,))

    def ask(self, statement, parameters=None):
        """In a session that is kept for as long as the database is this one."""
        if self._session is None:
            self._session = psycopg2.connect(self.dsn.reveal(), options="-c timezone=UTC")
            self._session.autocommit = True
        with self._session.cursor() as cursor:
            cursor.execute(statement, parameters)
            return cursor.fetchall() if cursor.description else []

    def set_away(self, is_away):
        if is_away == self.is_away:
            return
        self.is_away = is_away
        self._laboratory.say(f"ALTER DATABASE {{}} ALLOW_CONNECTIONS {not is_away}", self.name)
        if is_away:
            self._end_sessions()

    def back_up(self):
        """Ends all sessions, as a restart does."""
        earlier = f"{self.name}_{next(self._states)}"
        self._end_sessions()
        self._laboratory.say("CREATE DATABASE {} TEMPLATE {}", earlier, self.name)
        self._forget_backup()
        self._earlier.append(earlier)

    @property
    def has_backup(self):
        return bool(self._earlier)

    def restore(self):
        if self._earlier:
            self._replace(self._earlier[-1])

    def make_anew(self):
        """On another server, as far as anybody can see."""
        self._replace(self._laboratory.template(self.kind))
        self._identify()

    def drop(self):
        self._end_sessions()
        self._forget_backup()
        self._laboratory.drop(self.name)

    def _replace(self, template):
        self._end_sessions()
        self._laboratory.drop(self.name)
        self._laboratory.clone(self.name, template)
        self.is_away = False

    def _forget_backup(self):
        while self._earlier:
            self._laboratory.drop(self._earlier.pop())

    def _identify(self):
        self.ask("UPDATE simulated_server SET system_identifier = %s", (next(identifiers),))

    def _end_sessions(self):
        if self._session is not None:
            self._session.close()
            self._session = None
        self._laboratory.end_sessions(self.name)


def ask(dsn, statement, parameters=None):
    """In a session of its own."""
    connection = psycopg2.connect(dsn.reveal(), options="-c timezone=UTC")
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(statement, parameters)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()
