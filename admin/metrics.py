import platform

from flask import Blueprint, Response
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest

from app import __version__
from app.metrics.process import BUILD


def metrics_blueprint(registry: CollectorRegistry = REGISTRY) -> Blueprint:
    BUILD.info({"version": __version__, "python": platform.python_version()})
    blueprint = Blueprint("metrics", __name__)

    @blueprint.get("/metrics")
    def metrics() -> Response:
        return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)

    return blueprint
