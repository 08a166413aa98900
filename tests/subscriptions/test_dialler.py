"""How many sockets a gatherer opens: what is wanted, where the account grants it."""

import pytest

from app.errors import SettingsError
from app.settings.gatherer import EXAMPLE_KEY
from app.settings.loading import load_settings
from app.subscriptions.dial_queue import sockets_of
from tests.processes import run
from tests.workers.process.test_check_config import DSN, KEY


def sockets(**settings):
    return sockets_of(load_settings({f"KALSHI_{name.upper()}": str(value) for name, value in settings.items()}))


@pytest.mark.parametrize(
    ("gatherers", "granted", "opened"), [(3, 200, 66), (1, 200, 150), (3, 450, 150), (3, 449, 149), (3, 21, 7)]
)
def test_by_default_it_is_as_many_as_are_useful_or_the_share_of_what_is_granted(gatherers, granted, opened):
    assert sockets(gatherers=gatherers, account_connections=granted) == opened


def test_fewer_than_the_share_may_be_asked_for():
    assert sockets(ws_connections=10) == 10


@pytest.mark.parametrize(
    ("settings", "reason", "fix"),
    [
        ({"ws_connections": 67}, "3 times KALSHI_WS_CONNECTIONS=67 is more", "give 66 at most"),
        ({"gatherers": 4, "ws_connections": 66}, "4 times KALSHI_WS_CONNECTIONS=66 is more", "give 50 at most"),
        ({"account_connections": 20}, "3 gatherers share 20 of them, and each needs 7", "KALSHI_ACCOUNT_CONNECTIONS"),
    ],
)
def test_more_than_the_account_grants_is_refused_with_the_way_out(settings, reason, fix):
    with pytest.raises(SettingsError) as refused:
        sockets(**settings)
    assert (reason in str(refused.value), fix in str(refused.value)) == (True, True), str(refused.value)


def test_a_gatherer_that_would_ask_for_more_does_not_start(tmp_path):
    file = tmp_path / "key.pem"
    file.write_text(EXAMPLE_KEY)
    settings = {"KALSHI_TS_DSN": DSN, "KALSHI_META_DSN": DSN, **KEY, "KALSHI_API_PRIVATE_KEY_FILE": file}
    done = run("-m", "workers", "gatherer", "--check-config", **settings, KALSHI_WS_CONNECTIONS=150)
    assert (done.returncode, "give 66 at most" in done.stderr) == (2, True), done.stderr
    done = run("-m", "workers", "gatherer", "--check-config", **settings)
    assert done.returncode == 0, done.stderr
