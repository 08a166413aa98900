"""Whatever happens, nothing is claimed to be recorded that is not."""

import itertools
import os

import pytest

from app.subscriptions.journal import Journal
from tests.claims.moments import SECOND_US
from tests.claims.proving import prove

# `make proof` looks for longer, from other seeds.
SECONDS = float(os.environ.get("PROOF_SECONDS", "10"))


def test_nothing_is_claimed_that_is_not_there(kind):
    prove(kind, itertools.count(), SECONDS)
    assert kind.events > 0


def test_a_gap_that_begins_too_late_is_found(kind, monkeypatch):
    """Else this could not fail."""
    open_gap = Journal.open_gap

    def open_late(self, channel, cause, started_us, **more):
        return open_gap(self, channel, cause, started_us + SECOND_US, **more)

    monkeypatch.setattr(Journal, "open_gap", open_late)
    history = kind()
    try:
        history.begin(skew_us=0)
        history.all_goes_well(seconds=1)
        history.network_changes(name="a", is_online=False, then=3, works=False)
        with pytest.raises(AssertionError, match="claimed and not there"):
            history.network_changes(name="a", is_online=True, then=3, works=True)
    finally:
        history.platform.close()
