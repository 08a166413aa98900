"""Render errors as application/problem+json (RFC 9457) for programs, and as pages for people."""

from collections.abc import Mapping
from http import HTTPStatus

import msgspec
from flask import Flask, Request, Response, render_template, request
from marshmallow import ValidationError
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as AnyResponse

from app.errors import DatabaseError
from app.ops.endpoint import JSON
from app.runtime import logs

PROBLEM = "application/problem+json"
HTML = "text/html"

TITLES = {
    HTTPStatus.NOT_FOUND: "There is no such page",
    HTTPStatus.FORBIDDEN: "This is refused",
    HTTPStatus.SERVICE_UNAVAILABLE: "This cannot be shown now",
    HTTPStatus.INTERNAL_SERVER_ERROR: "This went wrong",
}

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


def is_for_a_person(asked: Request) -> bool:
    """Return whether a browser shows the answer. Scripts of our pages want problem details, as programs do."""
    best = asked.accept_mimetypes.best_match([PROBLEM, JSON, HTML])
    return best == HTML and "X-Requested-With" not in asked.headers


def show_problems(app: Flask, as_pages: bool = False) -> None:
    """Register error handlers on the application. Only an application with templates can show errors as pages."""
    problems = _Problems(as_pages)
    app.register_error_handler(ProblemError, problems.known)
    app.register_error_handler(DatabaseError, problems.unavailable)
    app.register_error_handler(ValidationError, problems.invalid)
    app.register_error_handler(HTTPException, problems.refused)
    app.register_error_handler(Exception, problems.unexpected)


class _Problems:
    def __init__(self, as_pages: bool) -> None:
        self._as_pages = as_pages

    def known(self, error: ProblemError) -> Response:
        answer = self._answer(error.status, error.detail, **error.more)
        answer.headers.update(error.headers)
        return answer

    def unavailable(self, error: DatabaseError) -> Response:
        log.warning("database request failed", what=error.what, detail=error.detail)
        return self._answer(HTTPStatus.SERVICE_UNAVAILABLE, error.what)

    def invalid(self, error: ValidationError) -> Response:
        messages = {str(field): reasons for field, reasons in error.messages_dict.items()}
        detail = f"Not as it should be: {', '.join(sorted(messages))}."
        return self._answer(HTTPStatus.BAD_REQUEST, detail, errors=messages)

    def refused(self, error: HTTPException) -> AnyResponse:
        """Convert Flask's own refusals, keeping their headers (for example Allow)."""
        if isinstance(error.response, AnyResponse):
            return error.response
        answer = self._answer(HTTPStatus(error.code or HTTPStatus.INTERNAL_SERVER_ERROR), error.description or "")
        for name, value in error.get_headers():
            if name.lower() not in {"content-type", "content-length"}:
                answer.headers[name] = value
        return answer

    def unexpected(self, error: Exception) -> Response:
        log.error("unhandled error in an HTTP request", exc_info=error)
        return self._answer(HTTPStatus.INTERNAL_SERVER_ERROR, "The log says more.")

    def _answer(self, status: HTTPStatus, detail: str, **more: object) -> Response:
        if self._as_pages and is_for_a_person(request):
            title = TITLES.get(status, status.phrase)
            page = render_template("problem.html", title=title, status=int(status), detail=detail, **more)
            answer = Response(page, status)
        else:
            body = {"type": "about:blank", "title": status.phrase, "status": int(status), "detail": detail, **more}
            answer = Response(msgspec.json.encode(body), status, mimetype=PROBLEM)
        answer.vary.add("Accept")
        return answer
