import json
from datetime import UTC, datetime

import pytest

from app.kalshi.rest_objects import status_in

NOW = datetime(2026, 11, 19, 8, 0, tzinfo=UTC)


def shard(index, active, trading):
    return {
        "exchange_index": index,
        "description": "",
        "exchange_active": active,
        "trading_active": trading,
        "intra_exchange_transfers_active": True,
    }


def status(active, trading, **rest):
    return status_in(json.dumps({"exchange_active": active, "trading_active": trading, **rest}).encode())


def test_without_a_list_the_exchange_s_own_flags_hold_for_every_shard():
    for shards in ({}, {"exchange_index_statuses": None}, {"exchange_index_statuses": []}):
        seen = status(True, False, **shards)
        assert (seen.any_active, seen.any_trading) == (True, False)
        assert (seen.shard(3).exchange_active, seen.shard(3).trading_active) == (True, False)


def test_a_shard_that_runs_while_the_first_does_not_is_worth_recording():
    seen = status(False, False, exchange_index_statuses=[shard(0, False, False), shard(2, True, True)])
    assert seen.any_active
    assert seen.any_trading
    assert not seen.shard(0).exchange_active
    assert seen.shard(2).trading_active


def test_no_shard_runs():
    seen = status(True, True, exchange_index_statuses=[shard(0, False, False), shard(2, False, False)])
    assert not seen.any_active


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2026-11-19T10:00:00Z", 7_200),
        ("2026-11-19T05:00:00.000000-05:00", 7_200),
        ("2026-11-19T10:00:00", 7_200),
        ("2026-11-19T07:00:00Z", 0),
        ("soon", 0),
        ("", 0),
        (None, 0),
    ],
)
def test_the_time_to_wait_is_what_the_exchange_estimates(text, seconds):
    assert status(False, False, exchange_estimated_resume_time=text).resume_seconds(NOW) == seconds


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"error": "x"}', b"[1]", b"\xff"])
def test_what_is_no_status_is_none(body):
    assert status_in(body) is None
