"""The exchange's published specifications, which are not ours to ship: they are read where they lie."""

import json
from pathlib import Path

import pytest

from tests.conftest import SPECIFICATIONS_FOLDER

BESIDE_THE_PROJECT = Path(__file__).parents[2] / "shared" / "kalshi-api"


def published(pattern):
    """The newest file of this pattern; without one the test is skipped."""
    folder = Path(SPECIFICATIONS_FOLDER or BESIDE_THE_PROJECT)
    found = sorted(folder.glob(pattern))
    if not found:
        pytest.skip(
            f"the exchange's specifications ({pattern}) are not in {folder}; KALSHI_SPEC_DIR names their folder"
        )
    return json.loads(found[-1].read_text())
