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
from admin.gatherers import Gatherers
from admin.health import health_blueprint
from admin.jobs import jobs_blueprint
from admin.lists import lists_blueprint
from admin.metrics import metrics_blueprint
from admin.operations import operations_blueprint
from admin.pages import login_blueprint, pages_blueprint
from admin.problems import show_problems
from admin.production import why_production_is_not_ready
from admin.quotes import quotes_blueprint
from admin.things import things_blueprint
from app import logs
from app.heartbeats import Heartbeats
from app.metrics.admin import REQUEST_SECONDS, REQUESTS
from app.offload import Offload, threads
from app.settings import Settings

DATABASE_THREADS = 4
MOST_BODY_BYTES = 64_000


def create_app(settings: Settings) -> Flask:
    logs.configure(settings.log_format, settings.log_level)
    return service(settings, threads(DATABASE_THREADS))


def service(settings: Settings, offload: Offload) -> Flask:
    app = Flask("admin")
    app.config["MAX_CONTENT_LENGTH"] = app.config["MAX_FORM_MEMORY_SIZE"] = MOST_BODY_BYTES
    app.jinja_env.filters.update(FILTERS)
    app.jinja_env.globals["needs_token"] = settings.admin_tokens is not None
    access = Access(settings.admin_tokens, FailureLimit())
    _measure(app)
    access.protect(app)
    show_problems(app)
    deliver_with_care(app)
    database = Database(settings.production_dsn, offload)
    gatherers = Gatherers(settings.ops_ports())
    for blueprint in (
        health_blueprint([lambda: offload(why_production_is_not_ready, settings)], Heartbeats()),
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


def _measure(app: Flask) -> None:
    @app.before_request
    def begin() -> None:
        g.began = time.perf_counter()

    @app.after_request
    def end(answer: Response) -> Response:
        REQUESTS.labels(f"{answer.status_code // 100}xx").inc()
        REQUEST_SECONDS.labels(request.endpoint or "unknown").observe(time.perf_counter() - g.began)
        return answer
