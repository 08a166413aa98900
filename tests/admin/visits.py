"""The pages that people visit, and by what each shows that all it asked for has arrived."""

from typing import NamedTuple

ANSWERED = "[data-part]:not([aria-busy])"
CHARTS = ("spread", "depth", "candles")
PANELS = ("headline", "gatherers", "coverage", "production", "holes", "audit", "storage")
PARTS = ("book", "trades", "hours", "download")


class Visit(NamedTuple):
    name: str
    path: str
    shown: tuple[str, ...] = ()
    below: tuple[str, ...] = ()  # on a narrow screen only once one has gone there


def visits(ticker, hour, words):
    """Return a visit to every page: of this market, of the hour's order books, and of what the words find."""
    event, series = ticker.rpartition("-")[0], ticker.partition("-")[0]
    return [
        Visit("status", "/", tuple(f"#{panel} {ANSWERED}" for panel in PANELS)),
        Visit("coverage", f"/coverage?hour={hour:%Y-%m-%dT%H:00Z}&channel=orderbook_delta"),
        Visit("markets", "/markets"),
        Visit("search", f"/markets?text={words}", ("#found tbody tr",)),
        Visit("nothing found", "/markets?text=zzzqqq"),
        Visit("market", f"/markets/{ticker}", tuple(f".{part} {ANSWERED}" for part in PARTS), CHARTS),
        Visit("event", f"/events/{event}", (".strikes tbody tr",)),
        Visit("series", f"/series/{series}"),
        Visit("completeness", "/completeness", (f".contributions {ANSWERED}",)),
        Visit("report", f"/report?month={hour:%Y-%m}", (f".quality{ANSWERED.removeprefix('[data-part]')}",)),
        Visit("lake", "/lake"),
        Visit("API", "/docs"),
        Visit("problem", "/nope"),
    ]


def open_page(page, address, visit):
    page.goto(f"{address}{visit.path}")
    for selector in visit.shown:
        page.wait_for_selector(selector)
    go_below(page, visit.below)


def go_below(page, names):
    for name in names:
        page.evaluate(f"document.getElementById('{name}').scrollIntoView()")
        page.wait_for_selector(f"#{name} canvas")
