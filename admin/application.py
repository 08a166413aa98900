"""Build the admin service's Flask application, over the production database and the gatherers' ops ports."""

import time

from flask import Flask, Response, g, request

from admin.api.gatherers import Gatherers, fleet_blueprint
from admin.api.lists import lists_blueprint
from admin.api.market_data import objects_blueprint, quotes_blueprint
from admin.api.market_history import history_blueprint
from admin.api.market_hour import market_hour_blueprint
from admin.api.openapi import documentation_blueprint
from admin.api.operations import jobs_blueprint, operations_blueprint
from admin.api.replay import replay_blueprint
from admin.api.status import status_blueprint, verdict_cache
from admin.pages.catalog import catalog_pages
from admin.pages.completeness import completeness_pages
from admin.pages.lake import lake_page
from admin.pages.market import market_pages
from admin.pages.report import report_page
from admin.pages.views import FILTERS, pages_blueprint
from admin.web.access import Access, FailureLimit, LoginSessions, login_blueprint
from admin.web.cache import TtlCache
from admin.web.database import RequestDatabase
from admin.web.delivery import add_security_headers_and_compression
from admin.web.proxy import Forwarding
from app.errors import OperatorError
from app.metrics.process import REQUEST_SECONDS, REQUESTS
from app.ops.application import health_blueprint, metrics_blueprint
from app.ops.problems import show_problems
from app.postgres.connection import connected
from app.postgres.databases import DatabaseKind
from app.runtime import logs
from app.runtime.health import Heartbeats, Readiness
from app.runtime.http_server import MOST_BODY_BYTES
from app.runtime.threads import Offload, threads
from app.settings import Settings
from app.settings.loading import warnings_of
from app.storage.migrations import applied_migrations, migrations_of, pending


def why_production_is_not_ready(settings: Settings) -> str | None:
    if settings.production_dsn is None:
        return "KALSHI_PRODUCTION_DSN is not set."
    try:
        with connected(settings.production_dsn, "admin") as connection:
            waiting = pending(applied_migrations(connection), migrations_of(DatabaseKind.PRODUCTION))
    except OperatorError as error:
        return error.what
    return f"{len(waiting)} migrations are not applied: run kalshi-data migrate." if waiting else None


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
    access = Access(settings.admin_tokens, FailureLimit(), LoginSessions())
    _measure(app)
    access.protect(app)
    show_problems(app, as_pages=True)
    add_security_headers_and_compression(app)
    database = RequestDatabase(settings.production_dsn, offload)
    gatherers = Gatherers(settings.ops_ports())
    verdict = verdict_cache(database, settings)
    for blueprint in (
        health_blueprint([_readiness(settings, offload)], Heartbeats()),
        metrics_blueprint(),
        lists_blueprint(database),
        replay_blueprint(database),
        objects_blueprint(database),
        quotes_blueprint(database),
        history_blueprint(database),
        market_hour_blueprint(database, settings.production_dsn, offload),
        fleet_blueprint(database, gatherers),
        status_blueprint(verdict),
        operations_blueprint(database),
        jobs_blueprint(database),
        pages_blueprint(database, gatherers, verdict),
        catalog_pages(database),
        market_pages(database),
        completeness_pages(database),
        report_page(database),
        lake_page(database),
        login_blueprint(access),
        documentation_blueprint(app, settings.admin_tokens is not None),
    ):
        app.register_blueprint(blueprint)
    return app


def _readiness(settings: Settings, offload: Offload) -> Readiness:
    """Return the readiness check. Its result is cached for a moment, since anyone may ask without a token, and each
    check opens a database connection."""
    return TtlCache(lambda: offload(why_production_is_not_ready, settings), READY_SECONDS)


def _measure(app: Flask) -> None:
    @app.before_request
    def begin() -> None:
        g.began = time.perf_counter()

    @app.after_request
    def end(answer: Response) -> Response:
        REQUESTS.labels(f"{answer.status_code // 100}xx").inc()
        REQUEST_SECONDS.labels(request.endpoint or "unknown").observe(time.perf_counter() - g.began)
        return answer
