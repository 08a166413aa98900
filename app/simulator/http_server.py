import logging
from collections.abc import Callable
from typing import Any

from gevent.pywsgi import WSGIHandler, WSGIServer

from app import logs
from app.simulator.supervision import Supervisor

Application = Callable[..., Any]


def http_server(address: tuple[str, int], application: Application, supervisor: Supervisor) -> WSGIServer:
    """Without an access log; an error that the application does not handle ends the process."""

    class Handler(WSGIHandler):
        def handle(self) -> None:
            try:
                super().handle()  # type: ignore[no-untyped-call]
            except OSError as error:
                # A client that left early is its own affair.
                logs.get(__name__).debug("connection lost", reason=str(error))

        def handle_error(self, kind: Any, value: BaseException, traceback: Any) -> None:  # noqa: ANN401
            if not isinstance(value, OSError):
                supervisor.fail(value)
            super().handle_error(kind, value, traceback)  # type: ignore[no-untyped-call]

    log = logging.getLogger(__name__)
    return WSGIServer(address, application, log=None, error_log=log, handler_class=Handler, spawn=supervisor.spawn)
