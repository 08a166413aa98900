"""The exchange's published specifications, where they are at hand: they are not ours to copy into the project."""

import json

import pytest
import yaml
from jsonschema import Draft202012Validator

from tests.specifications import FOLDER

needs_specification = pytest.mark.skipif(
    not FOLDER.is_dir(),
    reason=f"the exchange's specifications are not in {FOLDER} (KALSHI_SPEC_DIR names another folder)",
)


class Definitions:
    """JSON Schemas by name, which also refuse what they do not mention."""

    def __init__(self, definitions):
        self._document = {"$defs": _strict(definitions)}
        self._validators = {}

    def check(self, name, value):
        validator = self._validators.get(name)
        if validator is None:
            validator = self._validators[name] = Draft202012Validator({**self._document, "$ref": f"#/$defs/{name}"})
        problems = [f"{error.json_path}: {error.message}" for error in validator.iter_errors(value)]
        assert not problems, (name, problems[:5])


def websocket_definitions():
    return Definitions(json.loads((FOLDER / "ws-payload-defs-2026-10-26.json").read_text())["$defs"])


def rest_definitions():
    definitions = json.loads((FOLDER / "rest-schema-defs-2026-10-26.json").read_text())["$defs"]
    # Sent by the exchange, and no longer mentioned by its documents.
    definitions["Market"]["properties"]["liquidity_dollars"] = {"type": "string"}
    return Definitions(_with_null(definitions))


def cents_definitions():
    """Of the wire until spring 2026. As strings first: YAML 1.1 would turn its keys yes and no into booleans."""
    text = (FOLDER / "asyncapi-2026-01-16-legacy-cents.yaml").read_text()
    schemas = yaml.load(text, Loader=yaml.BaseLoader)["components"]["schemas"]  # noqa: S506 - it makes strings alone
    references = json.dumps(schemas).replace("#/components/schemas/", "#/$defs/")
    return Definitions(_with_numbers(json.loads(references)))


def _with_null(schema):
    """OpenAPI 3.0 says `nullable`, which JSON Schema does not know."""
    if isinstance(schema, list):
        return [_with_null(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    converted = {key: _with_null(value) for key, value in schema.items() if key != "nullable"}
    return {"anyOf": [converted, {"type": "null"}]} if schema.get("nullable") is True else converted


def _with_numbers(schema):
    if isinstance(schema, list):
        return [_with_numbers(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    numeric = {"minimum", "maximum", "minItems", "maxItems"}
    return {key: int(value) if key in numeric else _with_numbers(value) for key, value in schema.items()}


def _strict(schema):
    if isinstance(schema, list):
        return [_strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    strict = {key: _strict(value) for key, value in schema.items()}
    return {"additionalProperties": False, **strict} if isinstance(schema.get("properties"), dict) else strict
