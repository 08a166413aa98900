"""The admin service, over the production database."""

import time

from flask import Flask, Response, g, request

from admin.access import Access
from admin.database import Database
from admin.delivery import deliver_with_care
from admin.documentation import documentation_blueprint
from admin.failure_limit import FailureLimit
from admin.fleet import fleet_blueprint
from admin.formatting import FILTERS
from admin.forwarding import Forwarding
from admin.gatherers import Gatherers
from admin.health import health_blueprint
from admin.jobs import jobs_blueprint
from admin.lists import lists_blueprint
from admin.login import login_blueprint
from admin.metrics import metrics_blueprint
from admin.operations import operations_blueprint
from admin.pages import pages_blueprint
from admin.problems import show_problems
from admin.production import why_production_is_not_ready
from admin.quotes import quotes_blueprint
from admin.remembered import Remembered
from admin.sessions import Sessions
from admin.things import things_blueprint
from app import logs
from app.heartbeats import Heartbeats
from app.http_server import MOST_BODY_BYTES
from app.metrics.admin import REQUEST_SECONDS, REQUESTS
from app.offload import Offload, threads
from app.readiness import Readiness
from app.settings import Settings
from app.settings_warnings import warnings_of

log = logs.get(__name__)

DATABASE_THREADS = 4
READY_SECONDS = 1.0


def create_app(settings: Settings) -> Flask:
    logs.configure(settings.log_format, settings.log_level)
    for warning in warnings_of(settings):
        log.warning(warning)
    return service(settings, threads(DATABASE_THREADS))


def service(settings: Settings, offload: Offload) -> Flask:
    app = Flask("admin")
    app.config["MAX_CONTENT_LENGTH"] = app.config["MAX_FORM_MEMORY_SIZE"] = MOST_BODY_BYTES
    app.jinja_env.filters.update(FILTERS)
    app.jinja_env.globals["needs_token"] = settings.admin_tokens is not None
    app.wsgi_app = Forwarding(app.wsgi_app, settings.admin_proxy)  # type: ignore[method-assign]
    access = Access(settings.admin_tokens, FailureLimit(), Sessions())
    _measure(app)
    access.protect(app)
    show_problems(app, as_pages=True)
    deliver_with_care(app)
    database = Database(settings.production_dsn, offload)
    gatherers = Gatherers(settings.ops_ports())
    for blueprint in (
        health_blueprint([_readiness(settings, offload)], Heartbeats()),
        metrics_blueprint(),
        lists_blueprint(database),
        things_blueprint(database),
        quotes_blueprint(database),
        fleet_blueprint(database, gatherers),
        operations_blueprint(database),
        jobs_blueprint(database),
        pages_blueprint(database, gatherers),
        login_blueprint(access),
        documentation_blueprint(app, settings.admin_tokens is not None),
    ):
        app.register_blueprint(blueprint)
    return app


def _readiness(settings: Settings, offload: Offload) -> Readiness:
    """Remembered for a moment: whoever may ask without a token shall not make the database open connections."""
    return Remembered(lambda: offload(why_production_is_not_ready, settings), READY_SECONDS)


def _measure(app: Flask) -> None:
    @app.before_request
    def begin() -> None:
        g.began = time.perf_counter()

    @app.after_request
    def end(answer: Response) -> Response:
        REQUESTS.labels(f"{answer.status_code // 100}xx").inc()
        REQUEST_SECONDS.labels(request.endpoint or "unknown").observe(time.perf_counter() - g.began)
        return answer
