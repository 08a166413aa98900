"""Errors as application/problem+json (RFC 9457)."""

from collections.abc import Mapping
from http import HTTPStatus

import msgspec
from flask import Flask, Response
from marshmallow import ValidationError
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as AnyResponse

from app import logs
from app.errors import DatabaseError

log = logs.get(__name__)


class ProblemError(Exception):
    def __init__(
        self,
        status: HTTPStatus,
        detail: str,
        headers: Mapping[str, str] | None = None,
        more: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers or {}
        self.more = more or {}


def show_problems(app: Flask) -> None:
    app.register_error_handler(ProblemError, _known)
    app.register_error_handler(DatabaseError, _unavailable)
    app.register_error_handler(ValidationError, _invalid)
    app.register_error_handler(HTTPException, _refused)
    app.register_error_handler(Exception, _unexpected)


def _known(error: ProblemError) -> Response:
    answer = _problem(error.status, error.detail, **error.more)
    answer.headers.update(error.headers)
    return answer


def _unavailable(error: DatabaseError) -> Response:
    log.warning("the database could not answer", what=error.what, detail=error.detail)
    return _problem(HTTPStatus.SERVICE_UNAVAILABLE, error.what)


def _problem(status: HTTPStatus, detail: str, **more: object) -> Response:
    body = {"type": "about:blank", "title": status.phrase, "status": int(status), "detail": detail, **more}
    return Response(msgspec.json.encode(body), status, mimetype="application/problem+json")


def _invalid(error: ValidationError) -> Response:
    messages = {str(field): reasons for field, reasons in error.messages_dict.items()}
    return _problem(HTTPStatus.BAD_REQUEST, f"Not as it should be: {', '.join(sorted(messages))}.", errors=messages)


def _refused(error: HTTPException) -> AnyResponse:
    """What Flask itself refuses: its answer's headers, such as Allow, stay."""
    if isinstance(error.response, AnyResponse):
        return error.response
    answer = _problem(HTTPStatus(error.code or HTTPStatus.INTERNAL_SERVER_ERROR), error.description or "")
    for name, value in error.get_headers():
        if name.lower() not in {"content-type", "content-length"}:
            answer.headers[name] = value
    return answer


def _unexpected(error: Exception) -> Response:
    log.error("a request failed", exc_info=error)
    return _problem(HTTPStatus.INTERNAL_SERVER_ERROR, "The log says more.")
