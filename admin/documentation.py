"""The API's documentation, for programs and for people."""

from functools import cache
from typing import Any

from flask import Blueprint, Flask, Response, render_template

from admin.answers import json_answer
from admin.described import described
from admin.openapi import openapi


def documentation_blueprint(app: Flask, needs_token: bool) -> Blueprint:
    blueprint = Blueprint("documentation", __name__)

    @cache
    def document() -> dict[str, Any]:
        return openapi(app, needs_token)

    @blueprint.get("/openapi.json")
    @described("The documentation that programs read.")
    def for_programs() -> Response:
        return json_answer(document())

    @blueprint.get("/docs")
    @described("The documentation that people read.", types=("text/html",))
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
