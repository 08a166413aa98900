"""The API's documentation, made of the descriptions that endpoints carry (app/ops/endpoint.py).

In: the application's routes. Out: an OpenAPI document for programs, and a page of the same content for people.
"""

import re
from functools import cache
from typing import Any

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from flask import Blueprint, Flask, Response, render_template
from werkzeug.routing import Rule

from admin.api.lists import json_answer
from admin.api.schemas import ProblemSchema
from app import __version__
from app.ops.endpoint import JSON, Description, description_of, endpoint

ABOUT = (
    "What was recorded of the exchange, how complete it is, and what the platform does. Times are in UTC; prices and "
    "sizes are exact, as text in dollars and contracts and as integers in millionths of a dollar (`_e6`) and "
    "hundredths of a contract (`_e2`). Lists come page by page: give a page's `next` as `after` of the next one."
)
PARAMETER = re.compile(r"<(?:[^:<>]+:)?([^<>]+)>")
REFUSALS = ("400", "401", "403", "404", "405", "409", "413", "415", "429", "500", "503")


def openapi(app: Flask, needs_token: bool) -> dict[str, Any]:
    spec = APISpec("kalshi-data", __version__, "3.0.3", info={"description": ABOUT}, plugins=[MarshmallowPlugin()])
    if needs_token:
        spec.components.security_scheme("token", {"type": "http", "scheme": "bearer"})
        spec.options["security"] = [{"token": []}]
    spec.components.response(
        "Problem",
        {"description": "It was refused.", "content": {"application/problem+json": {"schema": ProblemSchema}}},
    )
    for rule in sorted(app.url_map.iter_rules(), key=lambda rule: rule.rule):
        description = description_of(app.view_functions[rule.endpoint])
        if description is not None and rule.rule.startswith("/admin"):
            operations = {method.lower(): _operation(rule, description) for method in _methods(rule)}
            spec.path(PARAMETER.sub(r"{\1}", rule.rule), operations=operations, parameters=_path_parameters(rule))
    document: dict[str, Any] = spec.to_dict()
    return document


def _methods(rule: Rule) -> list[str]:
    return sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})


def _operation(rule: Rule, description: Description) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": description.summary}
    if description.answer is not None:
        content = {kind: {"schema": {"type": "string"}} for kind in description.types if kind != JSON}
        answer["content"] = {JSON: {"schema": description.answer}, **content}
    elif JSON not in description.types:
        answer["content"] = {kind: {"schema": {"type": "string", "format": "binary"}} for kind in description.types}
    operation: dict[str, Any] = {
        "summary": description.summary,
        "operationId": rule.endpoint,
        "tags": [_group(rule)],
        "x-role": description.role.name.lower(),
        "responses": {str(int(description.status)): answer, **dict.fromkeys(REFUSALS, "Problem")},
    }
    if description.query is not None:
        operation["parameters"] = [{"in": "query", "schema": description.query}]
        operation["responses"]["304"] = {"description": "It is as it was."}
    if description.body is not None:
        operation["requestBody"] = {"required": True, "content": {JSON: {"schema": description.body}}}
    return operation


def _group(rule: Rule) -> str:
    return rule.rule.split("/")[2]


def _path_parameters(rule: Rule) -> list[dict[str, Any]]:
    numbers = {name for name in rule.arguments if name.endswith("_id")}
    return [
        {
            "in": "path",
            "name": name,
            "required": True,
            "schema": {"type": "integer", "minimum": 0} if name in numbers else {"type": "string"},
        }
        for name in sorted(rule.arguments)
    ]


# The documentation's two endpoints, for programs and for people.


def documentation_blueprint(app: Flask, needs_token: bool) -> Blueprint:
    blueprint = Blueprint("documentation", __name__)

    @cache
    def document() -> dict[str, Any]:
        return openapi(app, needs_token)

    @blueprint.get("/openapi.json")
    @endpoint("The API description for programs.")
    def for_programs() -> Response:
        return json_answer(document())

    @blueprint.get("/docs")
    @endpoint("The API description for people.", types=("text/html",))
    def for_people() -> str:
        return render_template("docs.html", document=document(), groups=_groups(document()))

    return blueprint


def _groups(document: dict[str, Any]) -> dict[str, list[tuple[str, str, dict[str, Any]]]]:
    groups: dict[str, list[tuple[str, str, dict[str, Any]]]] = {}
    for path, operations in document["paths"].items():
        for method in ("get", "post", "delete"):
            if method in operations:
                group = groups.setdefault(operations[method]["tags"][0], [])
                group.append((method.upper(), path, operations[method]))
    return groups
