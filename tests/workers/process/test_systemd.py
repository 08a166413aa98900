import os
import uuid

import pytest

from tests.systemd import listening
from workers.process.service import Notifier, notifier_from


@pytest.fixture(params=["path", "abstract"])
def addresses(request, tmp_path):
    """As a process is given it, and as the kernel knows it."""
    if request.param == "path":
        return str(tmp_path / "notify"), str(tmp_path / "notify")
    name = f"kalshi-{uuid.uuid4().hex}"
    return f"@{name}", f"\0{name}"


def test_systemd_hears_every_word(addresses):
    told, heard = addresses
    with listening(heard) as systemd:
        notifier = notifier_from({"NOTIFY_SOCKET": told})
        notifier.status("Not ready:\nthe database is away.")
        notifier.needs_longer(60)
        notifier.ready()
        notifier.feed_watchdog()
        notifier.stopping()
        systemd.waits_for("STOPPING=1")
    assert systemd.heard == [
        "STATUS=Not ready: the database is away.",
        "EXTEND_TIMEOUT_USEC=60000000",
        "READY=1",
        "WATCHDOG=1",
        "STOPPING=1",
    ]


def test_without_systemd_nothing_is_told():
    notifier = notifier_from({})
    notifier.ready()
    assert notifier.watchdog_seconds is None


def test_a_systemd_that_does_not_listen_is_logged_and_harms_nothing(tmp_path, caplog):
    Notifier(str(tmp_path / "gone")).ready()
    assert "systemd notification failed" in caplog.text


def test_children_do_not_inherit_what_systemd_said():
    environment = {"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid()), "HOME": "/"}
    assert notifier_from(environment).watchdog_seconds == 3
    assert environment == {"HOME": "/"}


def test_a_watchdog_for_another_process_is_not_ours():
    assert notifier_from({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}).watchdog_seconds is None
