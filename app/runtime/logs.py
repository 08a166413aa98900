"""Configure structured logging for the process and for the libraries that it uses."""

import logging
import sys
from typing import Literal, TextIO

# structlog loads rich where that is installed, which takes most of its time. Only the demo's screen needs it.
HAS_RICH = "rich" in sys.modules
if not HAS_RICH:
    sys.modules["rich"] = None  # type: ignore[assignment]
import structlog  # noqa: E402

if not HAS_RICH:
    del sys.modules["rich"]

LogFormat = Literal["auto", "json", "text"]
LogLevel = Literal["debug", "info", "warning", "error"]

# Local variables in a traceback may hold secrets, or a whole book.
NO_LOCALS = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)


def configure(log_format: LogFormat, level: LogLevel, stream: TextIO = sys.stderr) -> None:
    """Write logs as one JSON object per line, or as readable text on a terminal; libraries' log records included."""
    as_text = log_format == "text" or (log_format == "auto" and stream.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=_renderers(as_text, stream))
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())


def get(name: str) -> structlog.stdlib.BoundLogger:
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger


def _renderers(as_text: bool, stream: TextIO) -> list[structlog.typing.Processor]:
    remove_meta = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    if as_text:
        plain = structlog.dev.plain_traceback
        return [remove_meta, structlog.dev.ConsoleRenderer(colors=stream.isatty(), exception_formatter=plain)]
    return [
        remove_meta,
        structlog.processors.ExceptionRenderer(NO_LOCALS),
        structlog.processors.EventRenamer("message"),
        structlog.processors.JSONRenderer(),
    ]
