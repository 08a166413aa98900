"""Pages of a thousand markets through the client, beside the same pages through a bare session that does not look at them.

Both ask the same server in turns, so that noise meets them alike. And the request budget, which every call passes.
"""

import json
import threading
import time

import requests

from app.kalshi.request_budget import BudgetLimits, Priority, RequestBudget
from tests.kalshi.exchange import PLENTY, FakeExchange, Reply, client_of

MARKETS_PER_PAGE = 1_000
ROUNDS = 60
WARM_UP_ROUNDS = 5
CALLS = 100_000
# A page of the real exchange has about so many bytes for each of its markets.
MARKET_BYTES = 2_100


def page():
    market = {"ticker": "KXBENCH-26NOV21-T000", "floor_strike": 83950.62, "rules_primary": ""}
    market["rules_primary"] = "x" * (MARKET_BYTES - len(json.dumps(market)))
    return json.dumps({"markets": [market] * MARKETS_PER_PAGE, "cursor": ""}).encode()


def run(report):
    with FakeExchange().running() as exchange:
        exchange.answers(Reply(200, page()))
        seconds = measure(exchange)
    rate = {way: ROUNDS / sum(spent[WARM_UP_ROUNDS:]) for way, spent in seconds.items()}
    conditions = {"markets_per_page": MARKETS_PER_PAGE, "page_bytes": len(page()), "pages": ROUNDS}
    report("bare_pages_per_s", rate["bare"], "pages/s", **conditions)
    # A million markets in two minutes are 8.4 pages a second, of which what is done with them takes most.
    report("client_pages_per_s", rate["client"], "pages/s", bar=20, **conditions)
    report("client_to_bare", rate["client"] / rate["bare"], "ratio", bar=0.9, **conditions)
    report("budget_calls_per_s", budget_calls_per_s(), "calls/s", bar=20_000, calls=CALLS)


def measure(exchange):
    seconds = {"bare": [], "client": []}
    with client_of(exchange) as client, requests.Session() as bare:
        for _ in range(WARM_UP_ROUNDS + ROUNDS):
            seconds["bare"].append(seconds_of(lambda: len(bare.get(f"{exchange.url}/markets").content)))
            seconds["client"].append(seconds_of(lambda: sum(1 for _ in client.markets())))
    return seconds


def budget_calls_per_s():
    budget = RequestBudget(BudgetLimits(PLENTY.tokens_per_second, CALLS * 10))
    stopping = threading.Event()
    return CALLS / seconds_of(lambda: [budget.acquire(Priority.POLLING, stopping) for _ in range(CALLS)])


def seconds_of(action):
    start = time.perf_counter()
    action()
    return time.perf_counter() - start
