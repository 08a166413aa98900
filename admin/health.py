from flask import Blueprint, Response, jsonify

from app.databases import Kind
from app.errors import OperatorError
from app.offload import Offload
from app.postgres.connection import connected
from app.settings import Settings
from app.store.migrations import applied_migrations, migrations_of, pending


def health_blueprint(settings: Settings, offload: Offload) -> Blueprint:
    blueprint = Blueprint("health", __name__)

    @blueprint.get("/health")
    def health() -> Response:
        """This process answers."""
        return jsonify(status="ok")

    @blueprint.get("/ready")
    def ready() -> tuple[Response, int]:
        reason = offload(why_not_ready, settings)
        return (jsonify(status="not ready", reason=reason), 503) if reason else (jsonify(status="ready"), 200)

    return blueprint


def why_not_ready(settings: Settings) -> str | None:
    """The reason, in words for an operator, or None."""
    if settings.production_dsn is None:
        return "KALSHI_PRODUCTION_DSN is not set."
    try:
        with connected(settings.production_dsn, "admin") as connection:
            waiting = pending(applied_migrations(connection), migrations_of(Kind.PRODUCTION))
    except OperatorError as error:
        return error.what
    return f"{len(waiting)} migrations are to be applied: kalshi-data migrate." if waiting else None
