import msgspec
from flask import Blueprint, Response, g

from app.simulator.rest.problems import Problem
from app.simulator.rest.site import json_response
from app.simulator.rest.tiers import COST_TOKENS, Tier


def account_routes(tier: Tier) -> Blueprint:
    routes = Blueprint("account", __name__)

    @routes.get("/account/limits")
    def limits() -> Response:
        if g.key_id is None:
            raise Problem(401, "authentication_error", "this endpoint needs a signed request")
        body = {
            "usage_tier": tier.name,
            "read": {"refill_rate": tier.read_per_second, "bucket_capacity": tier.read_capacity},
            "write": {"refill_rate": tier.write_per_second, "bucket_capacity": tier.write_per_second},
            "grants": [],
        }
        return json_response(msgspec.json.encode(body))

    @routes.get("/account/endpoint_costs")
    def endpoint_costs() -> Response:
        return json_response(msgspec.json.encode({"default_cost": COST_TOKENS, "endpoint_costs": []}))

    return routes
