"""Logging in with a browser: a token is shown once, and then a session's name is kept in a cookie."""

from http import HTTPStatus

from flask import Blueprint, Request, make_response, redirect, render_template, request
from werkzeug.wrappers import Response as AnyResponse

from admin.access import Access, cookie_name
from admin.described import described
from admin.origins import is_between_local_ends
from admin.problems import HTML, ProblemError
from admin.return_address import LOGIN, own_page
from admin.sessions import LONGEST
from app.tokens import Role

IN_THE_CLEAR = (
    "Over plain HTTP a token can be read on its way. Ask by HTTPS, through the proxy that KALSHI_ADMIN_PROXY names and "
    "that sends X-Forwarded-Proto; or at localhost, through a tunnel by SSH."
)


def login_blueprint(access: Access) -> Blueprint:
    blueprint = Blueprint("login", __name__)

    @blueprint.get("/login")
    @described("Where a browser is told its token.", Role.NOBODY, types=(HTML,))
    def ask() -> AnyResponse:
        wanted = own_page(request.args.get("next", ""))
        if access.is_logged_in(request):
            return redirect(wanted, HTTPStatus.SEE_OTHER)
        return _form(wanted, IN_THE_CLEAR if _is_in_the_clear(request) else None)

    @blueprint.post("/login")
    @described("Begins a session, whose name is kept in a cookie that scripts cannot read.", Role.NOBODY, types=(HTML,))
    def log_in() -> AnyResponse:
        wanted = own_page(request.form.get("next", ""))
        if _is_in_the_clear(request):
            return _form(wanted, IN_THE_CLEAR, HTTPStatus.FORBIDDEN)
        try:
            session = access.log_in(request.form.get("token", "").strip(), request.remote_addr or "")
        except ProblemError as error:
            return _form(wanted, error.detail, error.status)
        answer = redirect(wanted, HTTPStatus.SEE_OTHER)
        # Lax: whoever follows a link from an alert is logged in. Changes are only taken from our own pages.
        answer.set_cookie(
            cookie_name(request), session, LONGEST, httponly=True, samesite="Lax", secure=request.is_secure
        )
        return answer

    @blueprint.post("/logout")
    @described("Ends the session.", Role.NOBODY, types=(HTML,))
    def log_out() -> AnyResponse:
        access.log_out(request)
        answer = redirect(LOGIN, HTTPStatus.SEE_OTHER)
        answer.delete_cookie(cookie_name(request), secure=request.is_secure, httponly=True, samesite="Lax")
        return answer

    return blueprint


def _is_in_the_clear(asked: Request) -> bool:
    return not (asked.is_secure or is_between_local_ends(asked))


def _form(wanted: str, problem: str | None, status: HTTPStatus = HTTPStatus.OK) -> AnyResponse:
    is_open = problem is not IN_THE_CLEAR
    return make_response(render_template("login.html", next=wanted, problem=problem, is_open=is_open), status)
