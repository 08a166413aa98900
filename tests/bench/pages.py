"""The admin service's pages over a running demo, each opened by a browser that has nothing of it, on a phone's profile.

How long scripts run, and the whole thread of the page, until all that the page shows has arrived; how long scripts have
run once somebody has gone down to its end; and how many bytes were received. Time is what the thread used of the
processor, times four, as a phone has a quarter of it: the browser's own throttling counts what others use too.
"""

import statistics
from datetime import UTC, datetime

from tests.admin.browser import browser, page_of
from tests.admin.screenshots import busy_market, demo
from tests.admin.visits import visits
from tests.processes import wait_until

SLOWER = 4
ROUNDS = 5
RECORDED_SECONDS = 150
PHONE = {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 3, "is_mobile": True, "has_touch": True}
# What compiles a script is told apart from what runs it.
SCRIPT = ("ScriptDuration", "V8CompileDuration")
WORK = ("TaskDuration",)
# With their units and bars.
FIGURES = {
    "script_ms": ("ms", 100),
    "scrolled_script_ms": ("ms", None),
    "work_ms": ("ms", None),
    "kb": ("kB", 150),
}


def run(report):
    with demo(RECORDED_SECONDS) as address, browser() as started:
        weigh_pages(report, started, address, busy_market(address), "a")


def weigh_pages(report, started, address, market, words):
    for visit in visits(market, datetime.now(UTC), words):
        opened = [weigh(started, address, visit) for _ in range(ROUNDS)]
        conditions = {"page": visit.name, "rounds": ROUNDS, "slower": SLOWER}
        for figure, (unit, bar) in FIGURES.items():
            values = [each[figure] for each in opened]
            report(
                figure, statistics.median(values), unit, bar, at_least=False, most=round(max(values), 1), **conditions
            )


def weigh(started, address, visit):
    """Without a script of ours in the page: it would count."""
    with page_of(started, **PHONE) as (page, _):
        protocol, received = page.context.new_cdp_session(page), []
        protocol.send("Network.enable")
        protocol.on("Network.loadingFinished", lambda event: received.append(event["encodedDataLength"]))
        protocol.send("Performance.enable", {"timeDomain": "threadTicks"})
        page.goto(f"{address}{visit.path}")
        for selector in visit.shown:
            wait_until(lambda selector=selector: node(protocol, selector), what=selector)
        opened = used_ms(protocol)
        for name in visit.below:
            protocol.send("DOM.scrollIntoViewIfNeeded", {"nodeId": node(protocol, f"#{name}")})
            wait_until(lambda name=name: node(protocol, f"#{name} canvas"), what=name)
        return {**opened, "scrolled_script_ms": used_ms(protocol)["script_ms"], "kb": sum(received) / 1_000}


def used_ms(protocol):
    seconds = {each["name"]: each["value"] for each in protocol.send("Performance.getMetrics")["metrics"]}
    return {
        figure: SLOWER * 1_000 * sum(seconds[name] for name in names)
        for figure, names in (("script_ms", SCRIPT), ("work_ms", WORK))
    }


def node(protocol, selector):
    """Its number in the document, or 0."""
    document = protocol.send("DOM.getDocument", {"depth": 0})["root"]["nodeId"]
    return protocol.send("DOM.querySelector", {"nodeId": document, "selector": selector})["nodeId"]
