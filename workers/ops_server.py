from app import logs
from app.errors import OperatorError
from app.http_server import BoundedServer, WSGIApp
from app.stopping import Stopping

log = logs.get(__name__)


class OpsServer:
    """Answers on the ops port. The port is taken at once, so that a process that cannot have it ends at its start."""

    def __init__(self, address: str, app: WSGIApp, stopping: Stopping) -> None:
        host, _, port = address.rpartition(":")
        self._stopping = stopping
        self._server = BoundedServer((host, int(port)), app)
        try:
            self._server.take_port()
        except (OSError, OverflowError) as error:
            raise OperatorError(
                "The ops port cannot be opened.", f"{address}: {error}", "give KALSHI_OPS_ADDRESS another one."
            ) from error

    def run(self) -> None:
        log.info("ops port listening", url=self._server.url)
        self._server.serve_until(self._stopping)
