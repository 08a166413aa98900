"""Build the ops application of a process, and decide which requests it answers."""

import platform
import socket
from collections.abc import Collection, Sequence
from http import HTTPStatus
from typing import NoReturn
from urllib.parse import urlsplit

from flask import Blueprint, Flask, Request, Response, jsonify, request
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest

from app import __version__
from app.metrics.process import BUILD, REFUSED_REQUESTS
from app.ops.endpoint import endpoint
from app.ops.live import LiveState, live_blueprint
from app.ops.problems import ProblemError, show_problems
from app.runtime.health import Heartbeats, Readiness, why_not_ready
from app.runtime.networks import is_address, is_local
from app.runtime.secrets import TokenRole

# The origin of a request, judged by its connection and a browser's headers: this machine, or another site's page.

ONLY_READ = {"GET", "HEAD", "OPTIONS"}
OWN_PAGES = {"same-origin", "none"}


def host_of(asked: Request) -> str:
    """Return the requested host, without its port; empty if it is malformed."""
    try:
        return urlsplit(f"//{asked.host}").hostname or ""
    except ValueError:
        return ""


def is_between_local_ends(asked: Request) -> bool:
    """Return whether client and requested host are both this machine.

    The host is checked too, since another site's page can use a name of its own that resolves to this machine (DNS
    rebinding).
    """
    return is_local(asked.remote_addr or "") and is_local(host_of(asked))


def refuse_other_sites(asked: Request) -> None:
    """Refuse what another site's page makes a browser send.

    Browsers state a request's origin: over TLS and on this machine in Sec-Fetch-Site, otherwise only in Origin. A
    client that sends neither is no browser and has no user's cookies.
    """
    site, origin = asked.headers.get("Sec-Fetch-Site"), asked.headers.get("Origin")
    if site is None:
        site = "same-origin" if origin is None or origin.partition("://")[2] == asked.host else "cross-site"
    if site not in OWN_PAGES:
        refuse("other site", "The request came from another site's page.")


def refuse(rule: str, reason: str) -> NoReturn:
    """Count and raise a refusal."""
    REFUSED_REQUESTS.labels(rule).inc()
    raise ProblemError(HTTPStatus.FORBIDDEN, reason)


def health_blueprint(readiness: Sequence[Readiness], heartbeats: Heartbeats) -> Blueprint:
    """Return /health and /ready, from the process's loops and from the parts that must be ready."""
    blueprint = Blueprint("health", __name__)

    @blueprint.get("/health")
    @endpoint("Whether this process is alive.", TokenRole.NOBODY)
    def health() -> tuple[Response, int]:
        late = heartbeats.late()
        return (jsonify(status="hangs", loops=late), 503) if late else (jsonify(status="ok"), 200)

    @blueprint.get("/ready")
    @endpoint("Whether it can do its work, or why not.", TokenRole.NOBODY)
    def ready() -> tuple[Response, int]:
        reasons = why_not_ready(readiness)
        return (jsonify(status="not ready", reasons=reasons), 503) if reasons else (jsonify(status="ready"), 200)

    return blueprint


def metrics_blueprint(registry: CollectorRegistry = REGISTRY) -> Blueprint:
    """Return /metrics for Prometheus."""
    BUILD.info({"version": __version__, "python": platform.python_version()})
    blueprint = Blueprint("metrics", __name__)

    @blueprint.get("/metrics")
    @endpoint("For Prometheus.", TokenRole.NOBODY, types=("text/plain",))
    def metrics() -> Response:
        return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)

    return blueprint


def create_ops_app(
    readiness: Sequence[Readiness],
    heartbeats: Heartbeats,
    live: LiveState | None = None,
    hosts: Collection[str] = (),
) -> Flask:
    """Return the application for a process's ops port; a gatherer's also shows its live state.

    It answers to addresses, to this machine's names and to `hosts`.
    """
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
    """Refuse a web page that uses the browser of a person who can reach the port, since no token is needed here.

    A page can make a name of its own resolve to this machine, so only known names are accepted. An address cannot be
    faked like that.
    """
    host = host_of(asked)
    if not (is_address(host) or host in own_names):
        refuse("other host", "This is asked by its address or its own name; KALSHI_OPS_HOSTS may name others.")
    is_link = asked.method in ONLY_READ and asked.headers.get("Sec-Fetch-Dest") == "document"
    if not is_link:
        refuse_other_sites(asked)
