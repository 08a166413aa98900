from collections.abc import Sequence
from typing import Protocol

from admin.application import create_ops_app
from app.heartbeats import Heartbeats, WatchedStopping
from app.live import LiveState
from app.readiness import Readiness
from app.settings import Settings
from app.stopping import Stopping
from app.systemd import notifier_from
from workers.hub_watch import HubWatch
from workers.life_cycle import LifeCycle
from workers.ops_server import OpsServer
from workers.watchdog import Watchdog


class Worker(Protocol):
    def run(self) -> None: ...


def showing(
    settings: Settings, readiness: Sequence[Readiness], stopping: Stopping, live: LiveState | None = None
) -> list[Worker]:
    """Who tells systemd, and whoever asks the ops port, how the process fares."""
    notifier, heartbeats = notifier_from(), Heartbeats()
    return [
        OpsServer(settings.ops_address, create_ops_app(readiness, heartbeats, live, settings.ops_names), stopping),
        LifeCycle(notifier, readiness, heartbeats, stopping),
        Watchdog(notifier, heartbeats, stopping),
        HubWatch(WatchedStopping(stopping, heartbeats.of("hub"))),
    ]
