import re
import subprocess

import click
import pytest

from app.cli import cli
from app.documentation import settings_table, with_settings_table
from app.settings.loading import known_settings
from tests.code_base.sources import ROOT
from tests.processes import environment

README = (ROOT / "README.md").read_text()
FIRST_COMMAND = README.index("```")


def test_the_settings_table_is_the_code_s_own():
    assert with_settings_table(README) == README, "run: make docs"
    assert settings_table() in README


def test_every_setting_is_in_the_table():
    for setting in known_settings():
        assert f"`{setting.variable}`" in README


@pytest.mark.parametrize("target", sorted(set(re.findall(r"make ([a-z]+)", README))))
def test_every_make_target_it_names_exists(target):
    done = subprocess.run(["make", "--dry-run", target], cwd=ROOT, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", sorted(set(re.findall(r"kalshi-data ([a-z]+)", README))))
def test_every_command_it_names_exists(command):
    assert isinstance(cli.get_command(click.Context(cli), command), click.Command)


def test_every_folder_it_maps_exists():
    mapped = re.findall(r"^\| `([a-z/]+)/` \|", README, re.MULTILINE)
    assert mapped
    assert [folder for folder in mapped if not (ROOT / folder).is_dir()] == []


def test_what_it_is_comes_within_one_screen_before_the_first_command():
    assert README[:FIRST_COMMAND].count("\n") < 30


def test_it_says_what_the_operator_has_to_keep_to():
    assert "developer agreement" in README
