"""What an endpoint says of itself: the one place for who may use it and for its documentation."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any, NamedTuple, TypeVar

from marshmallow import Schema

from app.tokens import Role

View = TypeVar("View", bound=Callable[..., Any])
JSON = "application/json"
ATTRIBUTE = "described_as"


class Description(NamedTuple):
    summary: str
    role: Role
    query: type[Schema] | None = None
    body: type[Schema] | None = None
    answer: type[Schema] | None = None
    status: HTTPStatus = HTTPStatus.OK
    types: tuple[str, ...] = (JSON,)


def described(
    summary: str,
    role: Role = Role.READ,
    query: type[Schema] | None = None,
    body: type[Schema] | None = None,
    answer: type[Schema] | None = None,
    status: HTTPStatus = HTTPStatus.OK,
    types: tuple[str, ...] = (JSON,),
) -> Callable[[View], View]:
    def mark(view: View) -> View:
        setattr(view, ATTRIBUTE, Description(summary, role, query, body, answer, status, types))
        return view

    return mark


def description_of(view: Callable[..., Any] | None) -> Description | None:
    return getattr(view, ATTRIBUTE, None)
