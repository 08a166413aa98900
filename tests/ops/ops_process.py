"""A worker process that does nothing but show itself, with switches for what a test wants to see of it."""

from gevent import monkey

monkey.patch_all()

import sys  # noqa: E402

from flask import Blueprint, request  # noqa: E402

from app.errors import OperatorError  # noqa: E402
from app.ops.application import create_ops_app  # noqa: E402
from app.runtime import logs  # noqa: E402
from app.runtime.events import Event  # noqa: E402
from app.runtime.health import Heartbeats, WatchedStopping  # noqa: E402
from app.settings.loading import load_settings  # noqa: E402
from tests.ops.live_markets import LiveMarkets  # noqa: E402
from workers.process.group import Group  # noqa: E402
from workers.process.service import HubWatch, LifeCycle, OpsServer, Watchdog, notifier_from  # noqa: E402

blocking_sleep = monkey.get_original("time", "sleep")
MARKETS = 1_000_000


class Loop:
    """One that can be told to hang."""

    def __init__(self, stopping):
        self._stopping = stopping
        self._goes_on = Event()
        self._goes_on.set()

    def run(self):
        while not self._stopping.wait(0.05):
            self._goes_on.wait()

    def hang(self, hangs):
        if hangs:
            self._goes_on.clear()
        else:
            self._goes_on.set()


def switches(loop, reasons):
    blueprint = Blueprint("switches", __name__)

    @blueprint.post("/switch/reasons")
    def change_reasons():
        reasons[:] = request.get_json()
        return "", 204

    @blueprint.post("/switch/loop")
    def change_loop():
        loop.hang(request.get_json())
        return "", 204

    @blueprint.post("/switch/hub")
    def hold_up_the_hub():
        blocking_sleep(request.get_json())
        return "", 204

    @blueprint.get("/switch/failure")
    def fail():
        raise LookupError("the reason")

    return blueprint


def main(reasons):
    settings = load_settings()
    logs.configure("json", settings.log_level)
    group, heartbeats, notifier = Group(), Heartbeats(allowed_seconds=1), notifier_from()
    readiness = [lambda place=place: reasons[place] if place < len(reasons) else None for place in range(2)]
    loop = Loop(WatchedStopping(group.stopping, heartbeats.of("turning")))
    app = create_ops_app(readiness, heartbeats, LiveMarkets(MARKETS), settings.ops_names)
    app.register_blueprint(switches(loop, reasons))
    workers = [
        OpsServer(settings.ops_address, app, group.stopping),
        LifeCycle(notifier, readiness, heartbeats, group.stopping),
        Watchdog(notifier, heartbeats, group.stopping),
        HubWatch(group.stopping),
        loop,
    ]
    for worker in workers:
        group.spawn(worker.run)
    group.run_until_stopped()


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except OperatorError as error:
        sys.exit(str(error))
