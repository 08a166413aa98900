from collections.abc import Sequence

from flask import Flask

from admin.health import health_blueprint
from admin.live import live_blueprint
from admin.metrics import metrics_blueprint
from admin.problems import show_problems
from app.heartbeats import Heartbeats
from app.live import LiveState
from app.readiness import Readiness


def create_ops_app(readiness: Sequence[Readiness], heartbeats: Heartbeats, live: LiveState | None = None) -> Flask:
    """What the ops port of every process answers; a gatherer's shows its live state too."""
    app = Flask("admin", static_folder=None)
    show_problems(app)
    app.register_blueprint(health_blueprint(readiness, heartbeats))
    app.register_blueprint(metrics_blueprint())
    if live is not None:
        app.register_blueprint(live_blueprint(live))
    return app
