"""gunicorn's gevent worker over our own small server: slow and idle clients leave room for the others."""

from typing import Any

from gunicorn.workers.ggevent import GeventWorker

from admin.origins import is_local
from app import logs
from app.environment import load_settings
from app.errors import SettingsError
from app.http_server import BoundedServer, Handler, WSGIApp

log = logs.get(__name__)

MOST_CONNECTIONS = 500


class _PatientHandler(Handler):
    """A long list takes its time, as long as it goes on."""

    def _sendall(self, data: bytes) -> None:
        super()._sendall(data)
        self.server.has_asked(self.socket)


class _Server(BoundedServer):
    def __init__(self, listener: Any, application: WSGIApp, environ: dict[str, Any], **_: Any) -> None:  # noqa: ANN401
        super().__init__(listener, application, MOST_CONNECTIONS)
        self.handler_class = _PatientHandler
        self.set_environ(environ)


class AdminWorker(GeventWorker):  # type: ignore[misc]
    server_class = _Server

    def load_wsgi(self) -> None:
        super().load_wsgi()
        addresses = [address[0] for address in self.cfg.address if isinstance(address, tuple)]
        open_to_others = sorted(address for address in addresses if not is_local(address))
        if load_settings().admin_tokens is not None:
            return
        if open_to_others:
            raise SettingsError(
                "Everybody could change everything.",
                f"It is to listen on {', '.join(open_to_others)}, and KALSHI_ADMIN_TOKENS is not set.",
                "set KALSHI_ADMIN_TOKENS_FILE, or --bind 127.0.0.1:8000.",
            )
        log.warning("no tokens are set: only this machine is answered, and may do everything")
