"""Settings that can be used and should not be: an operator is told of them."""

from datetime import UTC, datetime, timedelta

import pytest
from click.testing import CliRunner

from app.cli.operate import token
from app.runtime.secrets import TokenRole, new_token
from app.settings.loading import load_settings, warnings_of
from tests.processes import run

TODAY = datetime.now(UTC).date()


def warned(**environment):
    return list(warnings_of(load_settings(environment), environment))


@pytest.fixture
def dsn_file(tmp_path):
    file = tmp_path / "dsn"
    file.write_text("host=db.example dbname=x password=hunter2")
    return file


@pytest.mark.parametrize(
    ("mode", "reason"),
    [
        (0o666, "other users may write"),
        (0o620, "other users may write"),
        (0o644, "every user may read"),
        (0o640, None),
        (0o400, None),
    ],
)
def test_a_secret_s_file_that_others_may_read_or_write_is_named(dsn_file, mode, reason):
    dsn_file.chmod(mode)
    found = warned(KALSHI_TS_DSN_FILE=str(dsn_file))
    assert [reason in warning and str(dsn_file) in warning for warning in found] == ([True] if reason else [])
    assert "hunter2" not in str(found)


@pytest.mark.parametrize(
    ("variable", "url", "is_warned_of"),
    [
        ("KALSHI_WS_URL", "ws://exchange.example/ws", True),
        ("KALSHI_REST_URL", "http://10.0.0.5/v2", True),
        ("KALSHI_REST_URL", "http://localhost.evil.example/v2", True),
        ("KALSHI_REST_URL", "https://exchange.example/v2", False),
        ("KALSHI_WS_URL", "wss://exchange.example/ws", False),
        ("KALSHI_WS_URL", "ws://localhost:8080/ws", False),
        ("KALSHI_REST_URL", "http://[::1]:8080/v2", False),
    ],
)
def test_an_exchange_without_tls_is_named_unless_it_is_on_this_machine(variable, url, is_warned_of):
    assert [variable in warning for warning in warned(**{variable: url})] == [True] * is_warned_of


@pytest.mark.parametrize(("address", "is_warned_of"), [("0.0.0.0:9090", True), ("10.0.1.20:9090", False)])
def test_an_ops_port_on_every_address_is_named(address, is_warned_of):
    assert ["KALSHI_OPS_ADDRESS" in warning for warning in warned(KALSHI_OPS_ADDRESS=address)] == [True] * is_warned_of


@pytest.mark.parametrize(
    ("expires", "words"),
    [
        (None, "never expires"),
        (TODAY, "expired on"),
        (TODAY + timedelta(days=10), "expires on"),
        (TODAY + timedelta(days=30), None),
    ],
)
def test_tokens_that_expire_soon_or_never_are_named(expires, words):
    entry = new_token("ada", TokenRole.READ, expires)[1].entry
    found = warned(KALSHI_ADMIN_TOKENS=entry)
    assert [words in warning and "ada" in warning for warning in found] == ([True] if words else [])
    assert entry.split()[2] not in str(found)


def test_a_look_at_the_settings_tells_them_and_does_not_fail():
    done = run("-m", "workers", "--check-config", KALSHI_OPS_ADDRESS="0.0.0.0:9090")
    assert done.returncode == 0
    warning, verdict = done.stdout.splitlines()
    assert warning.startswith("warning: KALSHI_OPS_ADDRESS is 0.0.0.0:9090")
    assert verdict == "The settings are valid."


def test_the_doctor_names_them_too():
    done = run("-m", "app", "doctor", KALSHI_OPS_ADDRESS="0.0.0.0:9090", KALSHI_TS_DSN="host=/nowhere dbname=x")
    assert "--   settings: KALSHI_OPS_ADDRESS is 0.0.0.0:9090" in done.stdout


def shown_today(*arguments):
    """Return today and what is shown of a new token, which is asked for again where midnight passed meanwhile."""
    today = datetime.now(UTC).date()
    output = CliRunner().invoke(token, ["ada", *arguments]).output
    if datetime.now(UTC).date() != today:
        return shown_today(*arguments)
    return today, dict(line.split(":", 1) for line in output.splitlines())


@pytest.mark.parametrize(("arguments", "days"), [((), 90), (("--days", "7"), 7)])
def test_a_token_is_shown_with_the_day_on_which_it_expires(arguments, days):
    today, shown = shown_today(*arguments)
    assert shown["expires"].strip() == f"{today + timedelta(days)} at 00:00 UTC"
    assert shown["line"].endswith(f" {today + timedelta(days)}")


def test_a_token_that_was_just_made_is_not_warned_of():
    assert warned(KALSHI_ADMIN_TOKENS=shown_today()[1]["line"].strip()) == []


def test_a_token_does_not_last_for_years():
    assert CliRunner().invoke(token, ["ada", "--days", "1000"]).exit_code == 2
