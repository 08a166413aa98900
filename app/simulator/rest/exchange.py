"""The endpoints of the exchange's status, schedule and cutoff, and of the account's limits."""

from datetime import UTC, datetime, timedelta

import msgspec
from flask import Blueprint, Response, g

from app.simulator.limits import COST_TOKENS, Tier
from app.simulator.rest.queries import SimProblem
from app.simulator.rest.site import Site, json_response
from app.simulator.websocket.dollar_frames import whole_seconds

SHARDS = {0: "Default", 1: "Combos", 2: "Crypto & Commodities", 3: "Tennis, Baseball & Basketball"}
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
ALL_DAY = {"open_time": "00:00", "close_time": "24:00"}
# In New York's time; trading pauses on Thursdays from three to five in the morning.
THURSDAY = [{"open_time": "00:00", "close_time": "03:00"}, {"open_time": "05:00", "close_time": "24:00"}]


def exchange_routes(site: Site) -> Blueprint:
    routes = Blueprint("exchange", __name__)

    @routes.get("/exchange/status")
    def status() -> Response:
        return json_response(status_json(trading_active=site.is_trading()))

    @routes.get("/exchange/schedule")
    def schedule() -> Response:
        return json_response(msgspec.json.encode({"schedule": _schedule(site.clock.now_us())}))

    @routes.get("/historical/cutoff")
    def cutoff() -> Response:
        settled = whole_seconds(site.cutoff_us())
        return json_response(
            msgspec.json.encode(
                {
                    "market_settled_ts": settled,
                    "trades_created_ts": settled,
                    "orders_updated_ts": settled,
                    "market_positions_last_updated_ts": settled,
                }
            )
        )

    return routes


def status_json(*, trading_active: bool, exchange_active: bool = True) -> bytes:
    """Return the status of the exchange and of each shard as JSON."""
    flags = {
        "exchange_active": exchange_active,
        "trading_active": trading_active and exchange_active,
        "intra_exchange_transfers_active": exchange_active,
    }
    shards = [{"exchange_index": index, "description": text, **flags} for index, text in SHARDS.items()]
    return msgspec.json.encode({**flags, "exchange_index_statuses": shards})


def _schedule(now_us: int) -> dict[str, object]:
    today = datetime.fromtimestamp(now_us // 1_000_000, UTC).replace(hour=0, minute=0, second=0)
    thursday = today + timedelta(days=(3 - today.weekday()) % 7)
    hours = {day: THURSDAY if day == "thursday" else [ALL_DAY] for day in WEEKDAYS}
    start, end = today - timedelta(days=365), today + timedelta(days=365)
    return {
        "standard_hours": [{"start_time": _text(start), "end_time": _text(end), **hours}],
        "maintenance_windows": [
            {
                "start_datetime": _text(thursday + timedelta(hours=8)),
                "end_datetime": _text(thursday + timedelta(hours=10)),
            }
        ],
    }


def _text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def account_routes(tier: Tier) -> Blueprint:
    routes = Blueprint("account", __name__)

    @routes.get("/account/limits")
    def limits() -> Response:
        if g.key_id is None:
            raise SimProblem(401, "authentication_error", "this endpoint needs a signed request")
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
