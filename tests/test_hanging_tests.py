"""A test that hangs ends the run, and is named in it."""

import pytest

from tests.processes import ROOT, run

HANGING = """
import threading

import pytest


def forever():
    threading.Event().wait()


@pytest.fixture
def hanging():
    yield
    forever()


def test_hangs():
    forever()


def test_fails_and_hangs(hanging):
    assert False
"""
PLUGINS = ("-p", "xdist", "-p", "tests.harness.hanging", "-p", "no:cacheprovider")


@pytest.mark.parametrize("name", ["hangs", "fails_and_hangs"])
def test_a_test_that_hangs_is_named_and_its_stack_printed(name, tmp_path):
    file = tmp_path / "test_hanging.py"
    file.write_text(HANGING)
    options = ("-n", 1, "--max-worker-restart", 0, "-o", "faulthandler_timeout=2", "--rootdir", tmp_path)
    arguments = ("-m", "pytest", "-c", ROOT / "setup.cfg", *PLUGINS, *options, f"{file}::test_{name}")
    done = run(*arguments, PYTEST_DISABLE_PLUGIN_AUTOLOAD=1)
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"crashed while running 'test_hanging.py::test_{name}'" in done.stdout
    assert "in forever" in done.stderr
