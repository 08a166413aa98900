import pytest
from psycopg2.extensions import make_dsn

from app.errors import DatabaseError
from app.postgres.connection import connected, value_of
from app.postgres.dsn import Dsn


def test_sessions_are_in_utc_and_say_who_they_are(empty_database):
    with connected(empty_database, "the recorder") as connection:
        assert value_of(connection, "SHOW timezone") == "UTC"
        assert value_of(connection, "SHOW application_name") == "the recorder"


def test_what_the_user_asks_for_in_the_connection_string_holds(empty_database):
    asked = make_dsn(empty_database.reveal(), options="-c statement_timeout=1234", application_name="mine")
    with connected(Dsn(asked), "the recorder") as connection:
        assert value_of(connection, "SHOW statement_timeout") == "1234ms"
        assert value_of(connection, "SHOW timezone") == "UTC"
        assert value_of(connection, "SHOW application_name") == "mine"


def test_a_database_that_is_not_there_is_an_error_for_the_operator(server):
    with (
        pytest.raises(DatabaseError, match="The database missing cannot be reached") as caught,
        connected(server.dsn("missing")),
    ):
        pass
    assert "does not exist" in caught.value.detail


def test_a_database_that_only_reads_has_failed(empty_database):
    read_only = Dsn(make_dsn(empty_database.reveal(), options="-c default_transaction_read_only=on"))
    with (
        pytest.raises(DatabaseError, match="failed during a query") as caught,
        connected(read_only) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("CREATE TABLE never (id INT)")
    assert "read-only" in caught.value.detail


def test_nobody_could_come_in_by_the_network_if_the_embedded_server_listened_there(server):
    query = "SELECT array_agg(DISTINCT auth_method) FROM pg_hba_file_rules WHERE type LIKE 'host%'"
    with connected(server.dsn("postgres")) as connection:
        assert value_of(connection, query) == ["reject"]


def test_what_an_account_may_not_do_is_an_error_for_the_operator(empty_database):
    stranger = Dsn(make_dsn(empty_database.reveal(), options="-c role=pg_monitor"))
    with (
        pytest.raises(DatabaseError, match="lacks rights in the database") as caught,
        connected(stranger) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("CREATE TABLE never (id INT)")
    assert "permission denied" in caught.value.detail
