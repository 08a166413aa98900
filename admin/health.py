from collections.abc import Sequence

from flask import Blueprint, Response, jsonify

from app.heartbeats import Heartbeats
from app.readiness import Readiness, why_not_ready


def health_blueprint(readiness: Sequence[Readiness], heartbeats: Heartbeats) -> Blueprint:
    """For every process: each has its own parts that must be ready, and loops of its own."""
    blueprint = Blueprint("health", __name__)

    @blueprint.get("/health")
    def health() -> tuple[Response, int]:
        late = heartbeats.late()
        return (jsonify(status="hangs", loops=late), 503) if late else (jsonify(status="ok"), 200)

    @blueprint.get("/ready")
    def ready() -> tuple[Response, int]:
        reasons = why_not_ready(readiness)
        return (jsonify(status="not ready", reasons=reasons), 503) if reasons else (jsonify(status="ready"), 200)

    return blueprint
