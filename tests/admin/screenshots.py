"""Takes the README's pictures: the pages over a running demo, in light and in dark. `make screenshots`."""

import io
import re
import tempfile
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from PIL import Image

from app.demo.processes import GATHERERS
from tests.admin.browser import browser, page_of
from tests.admin.visits import CHARTS, go_below
from tests.processes import ROOT, running, wait_until
from tests.simulator.running import fetch

IMAGES = ROOT / "docs" / "images"
SECONDS = 1_800  # it ends with this program
RECORDED_SECONDS = 330
STAYS_OPEN = timedelta(minutes=5)
COLOURS = 128
VIEW = {"width": 1200, "height": 840}
STARTED_SECONDS = 120


@contextmanager
def demo(recorded_seconds):
    """Its address, once it has recorded for this long."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        with running("-m", "app", "demo", "--seconds", SECONDS, KALSHI_DATA_DIR=folder) as process:
            found = wait_until(
                lambda: re.search(r"Status page: (http://\S+)", "".join(process.lines)), STARTED_SECONDS, "the demo"
            )
            ready = time.monotonic()
            wait_until(lambda: time.monotonic() > ready + recorded_seconds, SECONDS, "something to see")
            yield found[1].rstrip("/")


def take(page, name):
    with Image.open(io.BytesIO(page.screenshot())) as picture:
        # Few colours are in it: half of the bytes.
        picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(IMAGES / f"{name}.png", optimize=True)


def busy_market(address):
    """The one with most candles, of those that stay open for a while."""
    later = (datetime.now(UTC) + STAYS_OPEN).isoformat()
    markets = fetch(f"{address}/admin/markets/active", closes_after=later).body["markets"]
    candles = {
        market["ticker"]: len(fetch(f"{address}/admin/markets/{market['ticker']}/candles").body["candles"])
        for market in markets
    }
    return max(candles, key=candles.get)


def take_all(address, started):
    market = busy_market(address)
    for scheme in ("light", "dark"):
        with page_of(started, color_scheme=scheme, viewport=VIEW) as (page, complaints):
            page.goto(address)
            page.wait_for_selector("#headline .sentence.green")
            page.wait_for_selector(f".gatherers tr:nth-child({len(GATHERERS)}) .badge.good")
            page.wait_for_selector(".production tbody tr")
            page.wait_for_selector(".coverage tbody tr")
            # Rates are there once the gatherers were asked twice.
            page.locator(".gatherers tr:first-child [data-label='Messages/s']", has_text=re.compile(r"\d")).wait_for()
            take(page, f"status-{scheme}")
            page.goto(f"{address}/markets/{market}")
            page.wait_for_selector(".ladder .bid")
            go_below(page, CHARTS)
            page.evaluate("scrollTo(0, 0)")
            take(page, f"market-{scheme}")
            assert complaints == []


def main():
    IMAGES.mkdir(exist_ok=True)
    with demo(RECORDED_SECONDS) as address, browser() as started:
        take_all(address, started)


if __name__ == "__main__":
    main()
