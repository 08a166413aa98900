"""What the ops port of every process answers, and to whom."""

import socket
from collections.abc import Collection, Sequence

from flask import Flask, Request, request

from admin.health import health_blueprint
from admin.live import live_blueprint
from admin.metrics import metrics_blueprint
from admin.origins import ONLY_READ, host_of, refuse, refuse_other_sites
from admin.problems import show_problems
from app.heartbeats import Heartbeats
from app.live import LiveState
from app.networks import is_address
from app.readiness import Readiness


def create_ops_app(
    readiness: Sequence[Readiness],
    heartbeats: Heartbeats,
    live: LiveState | None = None,
    hosts: Collection[str] = (),
) -> Flask:
    """A gatherer's shows its live state too. It answers to addresses, to this machine's names and to these hosts."""
    app = Flask("admin", static_folder=None)
    show_problems(app)
    own_names = {"localhost", socket.gethostname().lower(), *hosts}
    app.before_request(lambda: _refuse_browsers_of_others(request, own_names))
    app.register_blueprint(health_blueprint(readiness, heartbeats))
    app.register_blueprint(metrics_blueprint())
    if live is not None:
        app.register_blueprint(live_blueprint(live))
    return app


def _refuse_browsers_of_others(asked: Request, own_names: Collection[str]) -> None:
    """Nobody needs a token here, but a page of the web must not use the browser of somebody who can reach the port.

    A name that such a page made point to this machine is no name of it; an address cannot be made to.
    """
    host = host_of(asked)
    if not (is_address(host) or host in own_names):
        refuse("other host", "This is asked by its address or its own name; KALSHI_OPS_HOSTS may name others.")
    is_link = asked.method in ONLY_READ and asked.headers.get("Sec-Fetch-Dest") == "document"
    if not is_link:
        refuse_other_sites(asked)
