import pytest

from app import __version__
from tests.processes import run

PROGRAMS = [("-m", "app"), ("-m", "workers"), ("-m", "workers", "maintainer")]


def test_the_version_is_told():
    assert run("-m", "app", "--version").stdout == f"kalshi-data, version {__version__}\n"


def test_help_lists_the_commands_in_groups():
    text = run("-m", "app", "--help").stdout
    assert text.index("Try:") < text.index("demo") < text.index("Databases:") < text.index("migrate")


@pytest.mark.parametrize("program", PROGRAMS, ids=" ".join)
def test_fine_settings_are_called_so(program):
    done = run(*program, "--check-config", KALSHI_LOG_LEVEL="debug", KALSHI_TS_DSN="postgresql://localhost/none")
    assert (done.returncode, done.stdout) == (0, "The settings are valid.\n")


@pytest.mark.parametrize("program", PROGRAMS, ids=" ".join)
def test_wrong_settings_end_a_program_with_2_and_the_reason(program):
    done = run(*program, "--check-config", KALSHI_LOG_LEVEL="loud")
    assert done.returncode == 2
    assert "KALSHI_LOG_LEVEL is 'loud'" in done.stderr
    assert "Traceback" not in done.stderr


def test_wrong_settings_are_refused_without_asking_for_a_check():
    assert run("-m", "app", "doctor", KALSHI_NO_SUCH="1").returncode == 2


def test_the_settings_can_be_looked_up_while_they_are_wrong():
    done = run("-m", "app", "settings", KALSHI_LOG_LEVEL="loud")
    assert done.returncode == 0
    assert "`KALSHI_LOG_LEVEL`" in done.stdout


def test_a_data_folder_that_cannot_be_made_is_named_with_a_fix(tmp_path):
    (tmp_path / "file").touch()
    done = run("-m", "app", "migrate", KALSHI_DATA_DIR=tmp_path / "file" / "data")
    assert done.returncode == 1
    assert "cannot be created" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unknown_command_ends_with_2():
    assert run("-m", "app", "no-such").returncode == 2


def test_a_database_that_is_not_there_ends_with_1_and_what_to_do(tmp_path):
    missing = f"host={tmp_path} dbname=none"
    done = run("-m", "app", "migrate", KALSHI_TS_DSN=missing, KALSHI_META_DSN=missing, KALSHI_PRODUCTION_DSN=missing)
    assert done.returncode == 1
    assert "The database none cannot be reached." in done.stderr
    assert "Fix:" in done.stderr
    assert "Traceback" not in done.stderr
