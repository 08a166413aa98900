"""AWS as far as moto goes, with what it lacks: python -m tests.ansible.fake_aws PORT [DATABASE ADDRESS].

DATABASE is the DSN of a server that stands behind RDS, as a superuser whom Amazon would keep to itself, and ADDRESS is
where it is reached: the administrator's password is then the one that RDS was told last.
"""

import os
import sys
from pathlib import Path

IMAGES = Path(__file__).with_name("images.json")

# Read when moto is imported.
os.environ |= {
    "MOTO_AMIS_PATH": str(IMAGES),
    "MOTO_EC2_ENABLE_INSTANCE_TYPE_VALIDATION": "true",
    "MOTO_ENABLE_AMI_VALIDATION": "true",
    "MOTO_ENABLE_KEYPAIR_VALIDATION": "true",
}

import psycopg2  # noqa: E402
from moto.rds.exceptions import DBParameterGroupNotFoundError  # noqa: E402
from moto.rds.models import DBInstance, DBParameterGroup, RDSBackend  # noqa: E402
from moto.server import main  # noqa: E402
from psycopg2 import sql  # noqa: E402

# moto knows no parameter until it is set; Amazon lists every one of the engine's.
ENGINE_PARAMETERS = {"max_locks_per_transaction": "64", "rds.force_ssl": "0", "log_min_duration_statement": "-1"}
DESCRIPTION = {"DataType": "integer", "ApplyType": "static", "IsModifiable": True, "ApplyMethod": "pending-reboot"}


def with_engine_parameters(make):
    def made(self, *arguments, **named):
        make(self, *arguments, **named)
        for name, value in ENGINE_PARAMETERS.items():
            self.update_parameters([{"ParameterName": name, "ParameterValue": value, **DESCRIPTION}])

    return made


def or_refused(describe):
    def described(self, arguments):
        found = describe(self, arguments)
        name = arguments.get("db_parameter_group_name")
        if name and not found:
            raise DBParameterGroupNotFoundError(name)
        return found

    return described


def telling(dsn):
    """A property that gives whatever password it is set to the administrator of a real server."""

    def tell(instance, password):
        instance._master_user_password = password
        if password:
            connection = psycopg2.connect(dsn)
            with connection, connection.cursor() as cursor:
                alter = sql.SQL("ALTER ROLE {} PASSWORD %s")
                cursor.execute(alter.format(sql.Identifier(instance.master_username)), (password,))
            connection.close()

    return property(fset=tell)


def stand_behind(dsn, address):
    DBInstance.master_user_password = telling(dsn)
    DBInstance.address = address


def serve(port, *database):
    if database:
        stand_behind(*database)
    DBParameterGroup.__init__ = with_engine_parameters(DBParameterGroup.__init__)
    RDSBackend.describe_db_parameter_groups = or_refused(RDSBackend.describe_db_parameter_groups)
    main(["-H", "127.0.0.1", "-p", port])


if __name__ == "__main__":
    serve(*sys.argv[1:])
