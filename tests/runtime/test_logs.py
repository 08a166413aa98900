import io
import json
import logging

import pytest

from app.errors import DatabaseError
from app.postgres.connection import connect
from app.postgres.dsn import Dsn
from app.runtime import logs


@pytest.fixture(autouse=True)
def _restore():
    yield
    logs.configure("text", "debug")


def logged(log_format, write, level="info"):
    stream = io.StringIO()
    logs.configure(log_format, level, stream)
    write(logs.get("some.place"))
    return stream.getvalue()


def test_json_is_one_object_a_line():
    line = logged("json", lambda log: log.info("chunk dropped", chunk="trades_1", size_bytes=5))
    entry = json.loads(line)
    assert line.count("\n") == 1
    assert (
        entry.items()
        >= {
            "message": "chunk dropped",
            "chunk": "trades_1",
            "size_bytes": 5,
            "level": "info",
            "logger": "some.place",
        }.items()
    )
    assert entry["timestamp"].endswith("Z")


def test_an_exception_stays_within_its_line():
    def fail(log):
        try:
            raise ValueError("two\nlines")
        except ValueError:
            log.exception("it failed")

    line = logged("json", fail)
    assert line.count("\n") == 1
    assert json.loads(line)["exception"][0]["exc_value"] == "two\nlines"


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_a_traceback_does_not_show_the_values_of_variables(log_format):
    def fail(log):
        password = "hunter2"
        try:
            raise ValueError(len(password))
        except ValueError:
            log.exception("it failed")

    assert "'hunter2'" not in logged(log_format, fail)


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_a_failed_connection_does_not_show_the_password(log_format, tmp_path):
    secret = Dsn(f"host={tmp_path} password=hunter2")

    def fail(log):
        try:
            connect(secret)
        except DatabaseError:
            log.exception("it failed")

    assert "hunter2" not in logged(log_format, fail)


def test_what_a_library_logs_looks_the_same():
    entry = json.loads(logged("json", lambda _log: logging.getLogger("library").warning("%s of %s", 1, 2)))
    assert (entry["message"], entry["level"], entry["logger"]) == ("1 of 2", "warning", "library")


def test_off_a_terminal_auto_is_json_and_text_is_text():
    assert json.loads(logged("auto", lambda log: log.info("hello")))["message"] == "hello"
    assert logged("text", lambda log: log.info("hello")).strip()[0] != "{"


def test_less_severe_messages_are_left_out():
    assert logged("json", lambda log: log.info("hello"), level="warning") == ""
