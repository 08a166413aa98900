"""The programs of the documents, each in a process of its own, over a small lake: the notebook and the README's."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from tests.code_base.sources import ROOT

CHECK = """
assert of_market["start_ts"].is_monotonic_increasing
assert of_market["trades"].sum() == len(trades) > 0
assert bids and asks and bids[0][0] < asks[0][0]
assert book.at == trades["exchange_ts"].max()
assert plt.gca().get_title().startswith(ticker) and len(plt.gca().patches) >= len(bids + asks)
"""
CHECK_FRAME = """
assert len(trades) > 0 and trades["exchange_ts"].is_monotonic_increasing
integers = lake.trades().to_df(integers=True, by_time=True)["yes_price_e6"]
assert [int(price * 1_000_000) for price in trades["yes_price"]] == integers.tolist()
"""


def run(program, folder, settings):
    (folder / "program.py").write_text(program)
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "program.py"],
        cwd=folder,
        env=os.environ | settings | {"PYTHONPATH": path, "MPLBACKEND": "Agg"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_notebook_goes_from_a_lake_to_candles_and_a_book(exported, tmp_path):
    cells = json.loads((ROOT / "docs/lake.ipynb").read_text())["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    run("\n\n".join([*code, CHECK]), tmp_path, exported)


def test_the_readme_makes_a_data_frame_of_the_demo_s_lake(own_export, tmp_path):
    (tmp_path / "demo").mkdir()
    Path(own_export["KALSHI_LAKE"]).rename(tmp_path / "demo/lake")
    [program] = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    assert len([line for line in program.splitlines() if line]) == 5
    printed = run(program + CHECK_FRAME, tmp_path, {"KALSHI_DATA_DIR": str(tmp_path)})
    assert "size" in printed
