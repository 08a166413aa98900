import pytest

from app.errors import SettingsError
from app.postgres.dsn import Dsn
from app.settings.loading import known_settings, load_settings
from tests.processes import ROOT

PASSWORD_DSN = "postgresql://kalshi:hunter2@db.example/kalshi_ts"


def problems_of(environment):
    with pytest.raises(SettingsError) as caught:
        load_settings(environment)
    return str(caught.value)


def test_without_settings_the_defaults_hold():
    settings = load_settings({"PATH": "/bin"})
    assert (settings.ts_dsn, settings.log_format, settings.local_max_bytes) == (None, "auto", 150_000_000_000)


def test_values_get_their_types():
    settings = load_settings(
        {"KALSHI_LOCAL_MAX_BYTES": "5000000", "KALSHI_DATA_DIR": "/data", "KALSHI_TS_DSN": PASSWORD_DSN}
    )
    assert settings.local_max_bytes == 5_000_000
    assert settings.data_dir.as_posix() == "/data"
    assert settings.ts_dsn == Dsn(PASSWORD_DSN)


def test_an_unknown_name_is_refused_and_the_nearest_one_offered():
    assert "KALSHI_TS_DNS is not a setting; did you mean KALSHI_TS_DSN?" in problems_of({"KALSHI_TS_DNS": "x"})


@pytest.mark.parametrize(
    ("variable", "value", "problem"),
    [
        ("KALSHI_LOCAL_MAX_BYTES", "10 GB", "Expected `int`"),
        ("KALSHI_LOCAL_MAX_BYTES", "10", ">= 1000000"),
        ("KALSHI_LOG_FORMAT", "xml", "is 'xml': it is one of auto, json, text"),
        ("KALSHI_LOG_LEVEL", "", "is empty"),
        ("KALSHI_TS_DSN", "host", "not a PostgreSQL connection string"),
        ("KALSHI_DATA_DIR_FILE", "/etc/hostname", "KALSHI_DATA_DIR is not a secret"),
        ("KALSHI_META_DSN_FILE", "/bin/sh", "names a file that is not text: /bin/sh"),
        ("kalshi_log_level", "info", "is not a setting; did you mean KALSHI_LOG_LEVEL?"),
        ("KALSHI_OPS_ADDRESS", "127.0.0.1:65536", "does not have the form"),
        ("KALSHI_META_DSN_FILE", "/no/such/file", "/no/such/file: No such file or directory"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_with_its_name_and_a_fix(variable, value, problem):
    message = problems_of({variable: value})
    assert message.splitlines()[1].startswith(variable)
    assert problem in message
    assert "Fix:" in message


def test_all_problems_are_told_at_once():
    message = problems_of({"KALSHI_A": "1", "KALSHI_B": "2", "KALSHI_LOG_LEVEL": "loud"})
    assert all(name in message for name in ("KALSHI_A", "KALSHI_B", "KALSHI_LOG_LEVEL"))


def test_a_secret_may_come_from_a_file(tmp_path):
    file = tmp_path / "dsn"
    file.write_text(PASSWORD_DSN + "\n")
    assert load_settings({"KALSHI_TS_DSN_FILE": str(file)}).ts_dsn == Dsn(PASSWORD_DSN)


def test_a_secret_given_twice_is_refused(tmp_path):
    file = tmp_path / "dsn"
    file.write_text(PASSWORD_DSN)
    assert "given twice" in problems_of({"KALSHI_TS_DSN_FILE": str(file), "KALSHI_TS_DSN": PASSWORD_DSN})


def test_a_secret_shows_nowhere():
    settings = load_settings({"KALSHI_TS_DSN": PASSWORD_DSN})
    assert "hunter2" not in f"{settings} {settings!r} {settings.ts_dsn} {[settings.ts_dsn]}"


def test_a_malformed_secret_is_refused_without_being_shown():
    assert "hunter2" not in problems_of({"KALSHI_TS_DSN": "host=x hunter2"})


@pytest.mark.parametrize(
    ("variable", "address"),
    [
        ("KALSHI_REST_URL", "https://ada:hunter2@exchange.example/v2"),
        ("KALSHI_WS_URL", "wss://ada:hunter2@exchange.example/v2"),
        ("KALSHI_LAKE_S3_ENDPOINT", "https://ada:hunter2@s3.example"),
        ("KALSHI_GATHERER_OPS", "a=http://ada:hunter2@a.example:9090"),
    ],
)
def test_an_address_with_a_password_is_refused_since_logs_show_addresses(variable, address):
    message = problems_of({variable: address})
    assert "//***@" in message
    assert "hunter2" not in message


def test_every_setting_is_described_with_an_example_that_fits():
    for setting in known_settings():
        assert setting.description
        load_settings({setting.variable: setting.example})


def test_every_setting_is_used():
    code = "\n".join(
        path.read_text()
        for folder in ("app", "workers", "admin")
        for path in (ROOT / folder).rglob("*.py")
        if path.name != "settings.py" or path.parent.name != "app"
    )
    for setting in known_settings():
        assert f".{setting.field}" in code or f'"{setting.field}"' in code, setting.variable
