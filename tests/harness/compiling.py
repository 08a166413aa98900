"""Have one worker compile the tests while the others wait, where many are not compiled: on a fresh checkout, each worker
would compile all of them, which takes it longer than all else until the first test begins.
"""

import fcntl
import sys
from pathlib import Path

import pytest

from tests.harness.database import FOLDER

TESTS = Path(__file__).parents[1]
# What pytest calls the compiled files, in which assertions tell what they compared.
SUFFIX = f"{sys.implementation.cache_tag}-pytest-{pytest.__version__}.pyc"
FEW = 20


def compiled(file):
    return file.parent / "__pycache__" / f"{file.stem}.{SUFFIX}"


def is_stale(file):
    return not compiled(file).exists() or compiled(file).stat().st_mtime < file.stat().st_mtime


def is_much_to_compile():
    return sum(map(is_stale, TESTS.rglob("test_*.py"))) > FEW


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection(session):
    config = session.config
    if hasattr(config, "workerinput") and not sys.dont_write_bytecode and is_much_to_compile():
        with (Path(config.workerinput[FOLDER]) / "compiling.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if is_much_to_compile():
                return (yield)
    return (yield)
