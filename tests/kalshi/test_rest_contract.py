"""What the client asks, held against the exchange's published OpenAPI."""

import itertools
import re

import pytest
import yaml

from app.kalshi.endpoints import PRESETS
from app.kalshi.rest_objects import AccountLimits, ExchangeStatus
from tests.kalshi.exchange import PREFIX, Reply, client_of
from tests.specifications import published_text

LISTS = {
    "markets": lambda client: client.markets("open", "exclude", "S", "E"),
    "markets updated": lambda client: client.markets_updated_since(1),
    "markets created": lambda client: client.markets_created_since(1, "only"),
    "markets settled": lambda client: client.markets_settled_since(1, "only"),
    "order books": lambda client: client.order_books(map(str, range(300))),
    "trades": lambda client: client.trades(1, 2, "A"),
    "events": lambda client: client.events("open", 1, "S", with_nested_markets=True),
    "multivariate events": lambda client: client.multivariate_events("S", with_nested_markets=True),
    "series": lambda client: client.series_list(1),
}
SINGLE = {
    "market": lambda client: client.market("A"),
    "event": lambda client: client.event("E"),
    "one series": lambda client: client.series("S"),
}


@pytest.fixture(scope="module")
def openapi():
    return yaml.load(published_text("openapi-*.yaml"), yaml.CSafeLoader)


def resolved(openapi, part):
    while "$ref" in part:
        kind, name = part["$ref"].split("/")[-2:]
        part = openapi["components"][kind][name]
    return part


def operation_of(openapi, path):
    """The most literal of the paths that fit: /markets/trades is no market."""
    fitting = [
        template
        for template in openapi["paths"]
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path.removeprefix(PREFIX))
    ]
    return openapi["paths"][min(fitting, key=lambda template: template.count("{"))]["get"]


def answer_of(openapi, operation):
    """The least that the schema allows, with one object in each list."""
    schema = resolved(openapi, operation["responses"]["200"]["content"]["application/json"]["schema"])
    least = {"array": [1], "string": "", "object": {}}
    return {
        name: least[resolved(openapi, schema["properties"][name]).get("type", "object")] for name in schema["required"]
    }


def problems_of(openapi, operation, query):
    documented = {
        parameter["name"]: parameter
        for parameter in (resolved(openapi, part) for part in operation.get("parameters", ()))
        if parameter["in"] == "query"
    }
    missing = {name for name, parameter in documented.items() if parameter.get("required")} - dict(query).keys()
    yield from (f"{name} is missing" for name in missing)
    for name, asked in itertools.groupby(sorted(query), key=lambda pair: pair[0]):
        if name not in documented:
            yield f"{name} is not documented"
            continue
        schema = resolved(openapi, documented[name]["schema"])
        values = [value for _, value in asked]
        if len(values) > schema.get("maxItems", 1):
            yield f"{name} is given {len(values)} times"
        if schema["type"] == "integer" and not int(values[0]) <= schema.get("maximum", int(values[0])):
            yield f"{name}={values[0]} is too large"
        if values[0] not in map(str, schema.get("enum", values)):
            yield f"{name}={values[0]} is not one of {schema['enum']}"


def ask(openapi, exchange, call):
    """The call's result from an exchange that answers as published, and what was wrong with its questions."""
    exchange.rule = lambda asked: Reply(200, answer_of(openapi, operation_of(openapi, asked.path)))
    with client_of(exchange) as client:
        result = call(client)
    assert exchange.asked
    return result, [
        problem
        for asked in exchange.asked
        for problem in problems_of(openapi, operation_of(openapi, asked.path), asked.query)
    ]


@pytest.mark.parametrize("call", LISTS.values(), ids=LISTS)
def test_lists_are_asked_for_and_read_as_published(openapi, exchange, call):
    found, problems = ask(openapi, exchange, lambda client: {bytes(raw) for raw in call(client)})
    assert (found, problems) == ({b"1"}, [])


@pytest.mark.parametrize("call", SINGLE.values(), ids=SINGLE)
def test_single_objects_are_asked_for_and_read_as_published(openapi, exchange, call):
    found, problems = ask(openapi, exchange, lambda client: bytes(call(client)))
    assert (found, problems) == (b"{}", [])


def test_the_presets_are_published_servers(openapi):
    published = {server["url"] for server in openapi["servers"]}
    assert {preset.rest_url for preset in PRESETS.values()} <= published


@pytest.mark.parametrize(
    ("ours", "theirs"), [(ExchangeStatus, "ExchangeStatus"), (AccountLimits, "GetAccountApiLimitsResponse")]
)
def test_the_fields_we_read_are_published(openapi, ours, theirs):
    assert set(ours.__struct_fields__) <= set(openapi["components"]["schemas"][theirs]["properties"])
