"""Takes the README's pictures: the pages over a running demo, in light and in dark. `make screenshots`."""

import re
import tempfile
from contextlib import contextmanager
from pathlib import Path

from tests.admin.browser import browser, page_of
from tests.processes import ROOT, running, wait_until

IMAGES = ROOT / "docs" / "images"
SECONDS = 150
VIEW = {"width": 1200, "height": 900}
STARTED_SECONDS = 120


@contextmanager
def demo():
    """Its address."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        with running("-m", "app", "demo", "--seconds", SECONDS, KALSHI_DATA_DIR=folder) as process:
            found = wait_until(
                lambda: re.search(r"Status page: (http://\S+)", "".join(process.lines)), STARTED_SECONDS, "the demo"
            )
            yield found[1]


def take(page, name):
    page.evaluate("document.fonts.ready")
    page.screenshot(path=IMAGES / f"{name}.png", full_page=False)


def busiest_market(address, page):
    page.goto(f"{address}/markets")
    page.wait_for_selector("#found tbody tr")
    return page.locator("#found tbody a").first.get_attribute("href")


def main():
    IMAGES.mkdir(exist_ok=True)
    with demo() as address, browser() as started:
        for scheme in ("light", "dark"):
            with page_of(started, color_scheme=scheme, viewport=VIEW) as (page, complaints):
                page.goto(address)
                page.wait_for_selector(".production tbody tr")
                page.wait_for_selector(".coverage tbody tr")
                take(page, f"status-{scheme}")
                page.goto(address + busiest_market(address, page))
                page.wait_for_selector(".ladder .bid")
                page.wait_for_selector("#candles canvas")
                take(page, f"market-{scheme}")
                assert complaints == []


if __name__ == "__main__":
    main()
