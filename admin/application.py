from flask import Flask

from admin.health import health_blueprint
from app import logs
from app.offload import threads
from app.settings import Settings

DATABASE_THREADS = 4


def create_app(settings: Settings) -> Flask:
    logs.configure(settings.log_format, settings.log_level)
    app = Flask("admin")
    app.register_blueprint(health_blueprint(settings, threads(DATABASE_THREADS)))
    return app
