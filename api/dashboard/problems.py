"""Errors as pages: the same sentences as the API's problem documents."""

from __future__ import annotations

from flask import (
    Blueprint,
    Response,
    flash,
    g,
    make_response,
    redirect,
    render_template,
    request,
    url_for,
)
from flask_wtf.csrf import CSRFError
from werkzeug import exceptions as http
from werkzeug.wrappers import Response as AnyResponse

from api import problems
from api.problems import Problem, TooManyRequests
from migrations.model.errors import NotAuthenticated, ReembedError, RequestError, TokenEnded


class LoginExpired(NotAuthenticated):
    """The login has expired; log in again."""

    code = "login-expired"


class FormTooOld(RequestError):
    """The form was not this page's, or it is too old; load the page again and repeat it."""

    code = "form-too-old"


SWITCHED_OFF = Problem(
    "page-switched-off",
    503,
    "The page is switched off",
    "Set REEMBED_SECRET_KEY, or REEMBED_SECRET_KEY_FILE, to the key that signs its cookies, and "
    "start the API again.",
)


def register(blueprint: Blueprint) -> None:
    blueprint.register_error_handler(NotAuthenticated, _to_login)
    blueprint.register_error_handler(CSRFError, _too_old)
    blueprint.register_error_handler(ReembedError, answer)
    blueprint.register_error_handler(http.HTTPException, _answer_http)
    blueprint.register_error_handler(http.TooManyRequests, _too_many)


def answer(error: ReembedError) -> Response:
    return page_of(problems.noted(error))


def page_of(problem: Problem) -> Response:
    page = render_template("dashboard/problem.html", problem=problem, me=g.get("caller"))
    return make_response(page, problem.status)


def is_fragment() -> bool:
    """Whether htmx asks, and puts the answer into a page that is there."""
    return request.headers.get("HX-Request") == "true"


def _to_login(error: NotAuthenticated) -> AnyResponse:
    from api.dashboard.session import here  # it raises what stands here

    reason = "expired" if isinstance(error, LoginExpired) else None
    if isinstance(error, TokenEnded):
        flash(error.message)
    if is_fragment():
        # A redirect would be followed, and its page put where the fragment belongs.
        return Response(status=401, headers={"HX-Refresh": "true"})
    return redirect(url_for("door.login", next=here(), reason=reason), 303)


def _too_old(_: CSRFError) -> Response:
    return answer(FormTooOld())


def _too_many(_: http.TooManyRequests) -> Response:
    response = answer(TooManyRequests())
    response.headers["Retry-After"] = "60"
    return response


def _answer_http(error: http.HTTPException) -> AnyResponse:
    if error.code is not None and error.code < 400:
        return error.get_response()
    problem = problems.of_http(error)
    g.problem = problem.code
    return page_of(problem)
