from http import HTTPStatus
from typing import Any

import msgspec
from flask import request
from marshmallow import Schema

from admin.problems import ProblemError


def body(schema: type[Schema]) -> dict[str, Any]:
    """Of a request, as JSON."""
    if not request.is_json:
        raise ProblemError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Its body is to be JSON, and said to be.")
    try:
        content = msgspec.json.decode(request.get_data())
    except (ValueError, RecursionError) as error:
        raise ProblemError(HTTPStatus.BAD_REQUEST, f"Its body is no JSON: {error}.") from error
    loaded: dict[str, Any] = schema().load(content)
    return loaded
