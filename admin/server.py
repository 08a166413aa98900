"""Run gunicorn's gevent worker over our own bounded server, so that slow and idle clients cannot exclude others."""

from typing import Any

from gunicorn.arbiter import Arbiter
from gunicorn.config import Config
from gunicorn.glogging import Logger
from gunicorn.workers.ggevent import GeventWorker

from admin import leave
from app.errors import SettingsError
from app.runtime import logs
from app.runtime.http_server import BoundedServer, RequestHandler, WSGIApp
from app.runtime.networks import is_local
from app.settings import Settings
from app.settings.loading import load_settings

log = logs.get(__name__)

MOST_CONNECTIONS = 500


class _LongAnswerHandler(RequestHandler):
    """A handler that lets a long answer take its time, as long as the client keeps receiving."""

    def _sendall(self, data: bytes) -> None:
        super()._sendall(data)
        self.server.has_asked(self.socket)


class _Server(BoundedServer):
    def __init__(self, listener: Any, application: WSGIApp, environ: dict[str, Any], **_: Any) -> None:  # noqa: ANN401
        super().__init__(listener, application, MOST_CONNECTIONS)
        self.handler_class = _LongAnswerHandler
        self.set_environ(environ)


class AdminWorker(GeventWorker):  # type: ignore[misc]
    server_class = _Server

    def load_wsgi(self) -> None:
        super().load_wsgi()
        settings = load_settings()
        refuse_several_processes(self)
        try:
            _refuse_open_access(settings, [address[0] for address in self.cfg.address if isinstance(address, tuple)])
        except SettingsError as error:
            leave(error)
        if settings.admin_tokens is None:
            log.warning("no tokens set: only local requests are answered, with every right")


class AdminLogger(Logger):  # type: ignore[misc]
    """Write gunicorn's own messages to our log, in our format."""

    def setup(self, cfg: Config) -> None:
        super().setup(cfg)
        self.error_log.handlers.clear()
        self.error_log.propagate = True
        try:
            settings = load_settings()
            logs.configure(settings.log_format, settings.log_level)
        except SettingsError:  # reported when the application reads the settings
            logs.configure("auto", "info")


def refuse_several_processes(process: Arbiter | AdminWorker) -> None:
    """End the process if several workers are configured. At its start gunicorn itself is asked: if it began with
    several workers that refuse, it would fail over the end of the second while it handles that of the first."""
    if process.cfg.workers > 1:
        leave(
            SettingsError(
                "The admin service must be one process.",
                f"{process.cfg.workers} are configured, and each would know only its own sessions.",
                "leave out --workers: one process answers hundreds of clients at once.",
            )
        )


def _refuse_open_access(settings: Settings, addresses: list[str]) -> None:
    if settings.admin_tokens is not None:
        return
    if open_to_others := sorted(address for address in addresses if not is_local(address)):
        raise SettingsError(
            "The admin service would accept changes from everyone.",
            f"It would listen on {', '.join(open_to_others)}, and KALSHI_ADMIN_TOKENS is not set.",
            "set KALSHI_ADMIN_TOKENS_FILE, or --bind 127.0.0.1:8000.",
        )
    if settings.admin_proxy is not None:
        raise SettingsError(
            "The admin service would accept changes from everyone behind the proxy.",
            "KALSHI_ADMIN_PROXY is set, and KALSHI_ADMIN_TOKENS is not.",
            "set KALSHI_ADMIN_TOKENS_FILE, or unset KALSHI_ADMIN_PROXY.",
        )
