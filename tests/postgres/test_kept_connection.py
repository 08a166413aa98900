import pytest

from app.errors import DatabaseError
from app.postgres.connection import KeptConnection, connect, value_of

SESSION = "SELECT pg_backend_pid()"


@pytest.fixture
def kept(production):
    kept = KeptConnection(lambda: connect(production), "The task failed.", "do this.")
    yield kept
    kept.close()


def session_of(kept):
    with kept.opened() as connection:
        return value_of(connection, SESSION)


def test_one_task_after_the_other_has_the_same_session(kept):
    first = session_of(kept)
    with kept.still_open() as connection:
        assert value_of(connection, SESSION) == first


def test_after_an_error_of_the_database_the_next_task_has_another_session(kept):
    first = session_of(kept)
    with pytest.raises(DatabaseError, match="The task failed") as failure, kept.opened() as connection:
        value_of(connection, "SELECT 1 / 0")
    assert "division by zero" in failure.value.detail
    assert failure.value.fix == ""
    assert session_of(kept) != first


def test_any_other_error_gives_the_session_up_too_and_stays_itself(kept):
    first = session_of(kept)
    with pytest.raises(KeyError), kept.opened():
        raise KeyError
    assert session_of(kept) != first


def test_a_schema_that_is_missing_says_what_to_do(kept):
    with pytest.raises(DatabaseError) as failure, kept.opened() as connection:
        value_of(connection, "SELECT * FROM nothing_of_this_name")
    assert failure.value.fix == "do this."


def test_what_needs_an_earlier_session_does_not_get_a_new_one(kept):
    with pytest.raises(DatabaseError, match="closed after it had been opened"), kept.still_open():
        pytest.fail("there is no session")
    session_of(kept)
    with pytest.raises(KeyError), kept.still_open():
        raise KeyError
    with pytest.raises(DatabaseError, match="closed after it had been opened"), kept.still_open():
        pytest.fail("the session was given up")
