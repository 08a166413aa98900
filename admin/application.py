from collections.abc import Sequence

from flask import Flask

from admin.health import health_blueprint
from admin.live import live_blueprint
from admin.metrics import metrics_blueprint
from admin.problems import show_problems
from admin.production import why_production_is_not_ready
from app import logs
from app.heartbeats import Heartbeats
from app.live import LiveState
from app.offload import threads
from app.readiness import Readiness
from app.settings import Settings

DATABASE_THREADS = 4


def create_app(settings: Settings) -> Flask:
    """The admin service, over the production database."""
    logs.configure(settings.log_format, settings.log_level)
    offload = threads(DATABASE_THREADS)
    return create_ops_app([lambda: offload(why_production_is_not_ready, settings)], Heartbeats())


def create_ops_app(readiness: Sequence[Readiness], heartbeats: Heartbeats, live: LiveState | None = None) -> Flask:
    """What the ops port of every process answers; a gatherer's shows its live state too."""
    app = Flask("admin")
    show_problems(app)
    app.register_blueprint(health_blueprint(readiness, heartbeats))
    app.register_blueprint(metrics_blueprint())
    if live is not None:
        app.register_blueprint(live_blueprint(live))
    return app
