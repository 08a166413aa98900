"""Every notebook of docs/gallery/ runs over the sample lake, each in a process of its own, and finds what is in it."""

import json

import pytest

from app.simulator.sample import make_sample
from tests.code_base.sources import ROOT
from tests.lake.test_notebook import run

GALLERY = ROOT / "docs/gallery"
CHECKS = {
    "which-hours": """
assert set(exchange["trade"]) == {"hole"} and set(exchange["market_lifecycle_v2"]) == {"complete"}
assert 0.98 < share.iloc[0] < 1
assert 0 < len(complete) < len(books) and worst["hole_seconds"].iloc[0] > 180
assert len(usable) == len(trades) > 0
""",
    "book-through-time": """
assert {book.state for book in books} == {"complete", "hole"}
assert len(resets) >= 2 and len(plt.gca().collections) >= 2
""",
    "spread-and-depth": """
assert (spreads.min() > 0).all() and spreads.notna().sum().min() > 100
assert len(depth) > 100 and (depth > 0).all().all()
""",
    "lead-lag": """
assert len(pair) == 2 and correlation.notna().all() and leader in lags
""",
    "settlement-calibration": """
assert len(settled) > 5 and calibration["markets"].sum() > 5
assert calibration["came_true"].between(0, 1).all()
""",
}


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sample") / "lake"
    make_sample(folder, seed=1)
    return folder


def test_each_notebook_is_checked():
    assert {path.stem for path in GALLERY.glob("*.ipynb")} == set(CHECKS)


@pytest.mark.parametrize("name", CHECKS)
def test_a_notebook_runs(name, sample, tmp_path):
    cells = json.loads((GALLERY / f"{name}.ipynb").read_text())["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    run("\n\n".join([*code, CHECKS[name]]), tmp_path, {"KALSHI_LAKE": str(sample)})
