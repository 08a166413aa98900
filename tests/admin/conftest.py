import pytest

from app.postgres.databases import DatabaseKind
from app.postgres.dsn import Dsn
from app.runtime.secrets import TokenRole, Tokens, new_token
from tests.admin.asked import Asked, service_of
from tests.admin.seeded import seed
from tests.servers import new_database


@pytest.fixture(scope="session")
def seeded(server, templates) -> Dsn:
    """A production database with a bit of everything, for tests that only read."""
    dsn = new_database(server, templates[DatabaseKind.PRODUCTION])
    seed(dsn)
    return dsn


@pytest.fixture(scope="session")
def tokens():
    """What is presented, by role; and what the service knows of it."""
    made = {role: new_token(role.name.lower(), role) for role in (TokenRole.READ, TokenRole.OPERATE)}
    known = Tokens("\n".join(token.entry for _, token in made.values()))
    return {role: presented for role, (presented, _) in made.items()}, known


@pytest.fixture(scope="session")
def api(seeded):
    """The service as everybody on its machine meets it, over the seeded database."""
    return Asked(service_of(seeded))


@pytest.fixture
def changing(server, templates):
    """The same over a database of its own, to be changed."""
    dsn = new_database(server, templates[DatabaseKind.PRODUCTION])
    seed(dsn)
    return Asked(service_of(dsn), dsn=dsn)
