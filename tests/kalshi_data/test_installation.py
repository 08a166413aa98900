"""What a researcher does: a fresh environment, pip install of the project and nothing else, in a folder that has modules of
the platform's names."""

import os
import subprocess
import sys
import venv

import pytest

from tests.code_base.sources import ROOT
from tests.kalshi_data.lakes import TICKER

LIBRARY = f"""
import sys
import kalshi_data as kd

lake = kd.open(sys.argv[1])
print(lake.trades("{TICKER}").to_arrow().num_rows, lake.book("{TICKER}", at="2026-11-21T12:00:03Z").state)
assert not {{"pandas", "numpy", "gevent", "psycopg2", "structlog", "app", "admin", "workers"}} & set(sys.modules)
try:
    lake.trades("{TICKER}").to_df()
except kd.LakeError as error:
    print(error)
"""
# In the users' own folder, modules of these names come first.
TRAPS = ("app.py", "admin.py", "workers.py", "sql.py")


def run(*command, cwd, check=True):
    # Only what is installed there, and no settings of the tests.
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "KALSHI_", "VIRTUAL_ENV"))
    }
    done = subprocess.run(
        list(map(str, command)), cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 or not check, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("researcher")
    # Not the working folder itself: building leaves files in it.
    source = folder / "source"
    files = run("git", "ls-files", "--cached", "--others", "--exclude-standard", cwd=ROOT).stdout.splitlines()
    for name in files:
        if name.split("/")[0] not in {"tests", "docs", "ansible"} and (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    venv.create(folder / "venv", with_pip=True)
    python = folder / "venv/bin/python"
    run(python, "-m", "pip", "install", "--quiet", source, cwd=folder)
    for trap in TRAPS:
        (folder / trap).write_text("raise RuntimeError('this is the module of somebody else')\n")
    return folder


def test_nothing_but_pyarrow_is_installed(installed):
    listed = run(installed / "venv/bin/python", "-m", "pip", "list", "--format", "freeze", cwd=installed).stdout
    names = {line.split("==")[0].split(" @")[0].lower() for line in listed.splitlines()}
    assert names - {"pip", "setuptools", "wheel"} == {"kalshi-data", "pyarrow"}


def test_it_opens_a_lake(installed, folder):
    (installed / "program.py").write_text(LIBRARY)
    printed = run(installed / "venv/bin/python", "program.py", folder, cwd=installed).stdout
    assert printed.startswith("3 complete\n")
    assert "pandas is not installed." in printed
    assert "pip install pandas" in printed


def test_it_writes_for_backtesters(installed, folder):
    export = ("export-to", "nautilus", TICKER, "--lake", folder, "--into", "catalog")
    done = run(installed / "venv/bin/kalshi-data", *export, cwd=installed)
    assert done.stdout.startswith(f"{TICKER}: 3 book changes, 3 trades, 1 holes")
    assert list((installed / "catalog/data/order_book_delta").rglob("*.parquet"))


def test_the_platform_s_command_says_how_to_install_the_platform(installed):
    done = run(installed / "venv/bin/kalshi-data", "demo", cwd=installed, check=False)
    assert done.returncode == 2
    assert "pip install '.[platform]'" in done.stderr


def test_the_platform_itself_is_not_hidden_by_an_app_of_the_user_s(installed):
    done = run(sys.executable, "-c", "import sys; sys.path.pop(0); import app.cli", cwd=installed)
    assert done.stderr == ""
