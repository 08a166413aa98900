"""The admin service's pages over a running demo, each opened by a browser that has nothing of it, on a phone's profile.

How long scripts run until all that a page shows has arrived, on a processor that is slowed down to a quarter; and how
many bytes were received until then. Time is that of the page's thread: what else the machine does, it does not count.
"""

import statistics
from datetime import UTC, datetime

from tests.admin.browser import browser, page_of
from tests.admin.screenshots import busy_market, demo
from tests.admin.visits import visits
from tests.processes import wait_until

SLOWER = 4
ROUNDS = 5
MOST_SCRIPT_MS = 100
MOST_KB = 150
RECORDED_SECONDS = 150
PHONE = {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 3, "is_mobile": True, "has_touch": True}
# In seconds. What compiles a script is told apart from what runs it.
SCRIPT = ("ScriptDuration", "V8CompileDuration")
WORK = ("TaskDuration",)


def run(report):
    with demo(RECORDED_SECONDS) as address, browser() as started:
        market = wait_until(lambda: busy_market(address), 60, "a market")
        for visit in visits(market, datetime.now(UTC), "a"):
            opened = [weigh(started, address, visit) for _ in range(ROUNDS)]
            conditions = {"page": visit.name, "rounds": ROUNDS, "slower": SLOWER}
            for figure, unit, bar in (
                ("script_ms", "ms", MOST_SCRIPT_MS),
                ("work_ms", "ms", None),
                ("kb", "kB", MOST_KB),
            ):
                values = [each[figure] for each in opened]
                report(
                    figure,
                    statistics.median(values),
                    unit,
                    bar,
                    at_least=False,
                    most=round(max(values), 1),
                    **conditions,
                )


def weigh(started, address, visit, rate=1):
    """Without a script of ours in the page: it would count."""
    with page_of(started, **PHONE) as (page, _):
        protocol, received = page.context.new_cdp_session(page), []
        protocol.send("Network.enable")
        protocol.on("Network.loadingFinished", lambda event: received.append(event["encodedDataLength"]))
        protocol.send("Performance.enable", {"timeDomain": "threadTicks"})
        protocol.send("Emulation.setCPUThrottlingRate", {"rate": rate})
        page.goto(f"{address}{visit.path}")
        for selector in visit.shown:
            wait_until(lambda selector=selector: is_shown(protocol, selector), what=selector)
        measured = {each["name"]: each["value"] for each in protocol.send("Performance.getMetrics")["metrics"]}
    return {
        "script_ms": 1_000 * sum(measured[name] for name in SCRIPT),
        "work_ms": 1_000 * sum(measured[name] for name in WORK),
        "kb": sum(received) / 1_000,
    }


def is_shown(protocol, selector):
    document = protocol.send("DOM.getDocument", {"depth": 0})["root"]["nodeId"]
    return protocol.send("DOM.querySelector", {"nodeId": document, "selector": selector})["nodeId"] != 0
