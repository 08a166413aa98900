"""docs/lake.ipynb, its cells one after the other in a process of its own, over a small lake."""

import json
import os
import subprocess
import sys

from tests.code_base.sources import ROOT

CHECK = """
assert of_market == sorted(of_market, key=lambda candle: candle["start_ts"])
assert sum(candle["trades"] for candle in of_market) == trades.num_rows > 0
assert bids and asks and bids[0][0] < asks[0][0]
assert book.at == pc.max(trades["exchange_ts"]).as_py()
assert plt.gca().get_title().startswith(ticker) and len(plt.gca().patches) >= len(bids + asks)
"""


def program():
    cells = json.loads((ROOT / "docs/lake.ipynb").read_text())["cells"]
    return "\n\n".join([*("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"), CHECK])


def test_the_notebook_goes_from_a_lake_to_candles_and_a_book(exported, tmp_path):
    (tmp_path / "notebook.py").write_text(program())
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "notebook.py"],
        cwd=tmp_path,
        env=os.environ | exported | {"PYTHONPATH": path, "MPLBACKEND": "Agg"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
