"""The exchange's published specifications, which are not ours to ship: they are read where they lie."""

import json
from pathlib import Path

import pytest

from tests.conftest import SPECIFICATIONS_FOLDER

FOLDER = Path(SPECIFICATIONS_FOLDER or Path(__file__).parents[2] / "shared" / "kalshi-api")


def published_text(pattern):
    """Of the newest file of this pattern; without one the test is skipped."""
    found = sorted(FOLDER.glob(pattern))
    if not found:
        pytest.skip(
            f"the exchange's specifications ({pattern}) are not in {FOLDER}; KALSHI_SPEC_DIR names their folder"
        )
    return found[-1].read_text()


def published(pattern):
    return json.loads(published_text(pattern))
