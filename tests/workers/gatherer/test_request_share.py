"""The part of the account's request budget that a process takes which is no gatherer."""

import threading

import pytest

from app.kalshi.request_budget import BASIC
from app.kalshi.rest_transport import transport_of
from app.settings.loading import load_settings
from tests.kalshi.exchange import Reply, client_of
from tests.kalshi.keys import ed25519_key, pem
from workers.gatherer.snapshot_poller import RequestShare

LIMITS = Reply(200, {"read": {"refill_rate": 1_000, "bucket_capacity": 4_000}})
KEY = {"KALSHI_API_KEY_ID": "id", "KALSHI_API_PRIVATE_KEY": pem(ed25519_key())}


class Signer:
    def headers(self, _method, _path):
        return {}


def limits_of(transport):
    return transport.budget._bucket._limits


def test_it_takes_its_part_as_soon_as_the_budget_is_told(exchange):
    exchange.answers(Reply(400, {}), LIMITS)
    with client_of(exchange, signer=Signer()) as client:
        RequestShare(client, 4, threading.Event(), retry_seconds=0).run()
        assert limits_of(client._transport) == (250, 1_000)
    assert len(exchange.asked) == 2


@pytest.mark.parametrize(("key", "sharers"), [(KEY, 4), ({}, 1)])
def test_until_then_it_is_a_part_of_the_lowest_tier_s(exchange, key, sharers):
    """Without a key no account is shared."""
    transport = transport_of(load_settings({"KALSHI_REST_URL": exchange.url, **key}), threading.Event())
    assert limits_of(transport) == BASIC.shared_by(sharers)
    transport.close()
