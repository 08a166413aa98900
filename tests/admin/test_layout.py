"""What the pages look like, measured in a real browser: nothing is cut off, and axe-core finds nothing wrong."""

from contextlib import contextmanager
from pathlib import Path

import pytest

from app.runtime.secrets import TokenRole
from tests.admin.browser import browser, page_of
from tests.admin.seeded import TICKER
from tests.admin.test_service import admin

AXE = (Path(__file__).parent / "vendor" / "axe-4.14.1.min.js").read_text()
WIDTHS = (390, 1280, 1920)
# What the rules of WCAG 2.2 at level AA are called there, and those of them that judge colours.
RULES = {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
OF_COLOURS = {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}
SCHEMES = {"light": RULES, "dark": OF_COLOURS}
# Text that lies outside of the box that cuts it, or outside of the window; boxes hidden on purpose apart.
CUT = """
() => [...document.querySelectorAll('main *, header *')].filter(e => {
  if (e.closest('.unseen, .skip, .uplot, [hidden], thead') && !e.closest('.heat thead')) return false;
  const own = [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
  if (!own || !e.checkVisibility() || getComputedStyle(e).fontSize === '0px') return false;
  const range = document.createRange();
  range.selectNodeContents(e);
  const box = range.getBoundingClientRect();
  if (box.right > document.documentElement.clientWidth + 1 || box.left < -1) return true;
  for (let p = e; p && p !== document.body; p = p.parentElement) {
    if (getComputedStyle(p).overflowX !== 'visible') {
      const around = p.getBoundingClientRect();
      if (box.right > around.right + 1) return true;
    }
  }
  return e.matches('td, th') && box.width > e.getBoundingClientRect().width + 1;
}).map(e => `${e.className || e.tagName}: ${e.textContent.trim().slice(0, 60)}`)
"""


AUDIT = """
rules => axe.run({runOnly: rules}).then(result => ({
  passes: result.passes.map(rule => rule.id),
  violations: result.violations.map(rule => `${rule.id}: ${rule.nodes.map(n => n.html.slice(0, 150)).slice(0, 3)}`),
}))
"""


@pytest.fixture(scope="module")
def started():
    with browser() as launched:
        yield launched


@pytest.fixture(scope="module")
def open_service(seeded):
    with admin(KALSHI_PRODUCTION_DSN=seeded.reveal()) as (address, _):
        yield address


@pytest.fixture(scope="module")
def guarded_service(seeded, tokens):
    presented, known = tokens
    listed = known.reveal().replace("\n", ";")
    with admin(KALSHI_PRODUCTION_DSN=seeded.reveal(), KALSHI_ADMIN_TOKENS=listed) as (address, _):
        yield address, presented[TokenRole.READ]


def assert_looks_right(page, name, rules=RULES):
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0, name
    assert page.evaluate(CUT) == [], name
    if not page.evaluate("'axe' in window"):
        # Its own script: the page's policy allows none that is not the service's.
        page.context.new_cdp_session(page).send("Runtime.evaluate", {"expression": AXE})
    found = page.evaluate(AUDIT, rules)
    assert found["violations"] == [], name
    assert "color-contrast" in found["passes"], name


@contextmanager
def pictured(page, path):
    """Keep a picture of what is wrong."""
    try:
        yield
    except AssertionError as error:
        page.screenshot(path=path, full_page=True)
        error.add_note(f"as seen in {path}")
        raise


def walk(page, address, look):
    page.goto(address)
    for panel in ("headline", "gatherers", "coverage", "production", "holes", "audit", "storage"):
        page.wait_for_selector(f"#{panel} [hx-get]:not([aria-busy])")
    look("status")
    page.locator(".coverage td.hole a, .coverage td.slight a").first.click()
    page.wait_for_selector("h1:has-text('Order books')")
    assert page.locator("tbody tr").first.inner_text().split()[0] in {"outage", "Kind", "KIND"}
    look("coverage")
    page.goto(f"{address}/markets?text=rain")
    page.wait_for_selector("#found tbody tr")
    look("markets")
    page.goto(f"{address}/markets?text=zzzqqq")
    look("nothing")
    page.goto(f"{address}/markets/{TICKER}")
    for part in ("book", "trades", "hours", "download"):
        page.wait_for_selector(f".{part} [hx-get]:not([aria-busy])")
    for chart in ("candles", "spread", "depth"):
        page.wait_for_selector(f"#{chart} canvas")
    look("market")
    page.goto(f"{address}/events/{TICKER.rpartition('-')[0]}")
    look("event")
    page.goto(f"{address}/series/{TICKER.partition('-')[0]}")
    look("series")
    page.goto(f"{address}/completeness")
    page.wait_for_selector(".contributions tbody tr")
    look("completeness")
    page.goto(f"{address}/lake")
    look("lake")
    page.goto(f"{address}/docs")
    look("docs")
    page.goto(f"{address}/nope")
    look("problem")


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_cut_off_and_everybody_can_use_it(open_service, started, width, tmp_path):
    with page_of(started, viewport={"width": width, "height": 844}) as (page, complaints):

        def look(name):
            # Each page is opened once: its colours, and nothing else of it, change as they do in the evening.
            for scheme, rules in SCHEMES.items():
                page.emulate_media(color_scheme=scheme)
                with pictured(page, tmp_path / f"{name}-{width}-{scheme}.png"):
                    assert_looks_right(page, f"{name} at {width}, {scheme}", rules)

        walk(page, open_service, look)
        # The last page asked for does not exist.
        assert [each for each in complaints if "404" not in each] == []


@pytest.mark.parametrize("width", WIDTHS)
def test_with_tokens_the_pages_are_the_same_after_the_login(guarded_service, started, width):
    address, presented = guarded_service
    with page_of(started, viewport={"width": width, "height": 844}) as (page, complaints):
        page.goto(f"{address}/coverage?hour=2026-11-21T15:00Z&channel=trade")
        assert_looks_right(page, "login")
        page.fill("#token", "wrong")
        page.keyboard.press("Enter")
        page.wait_for_selector("[role=alert].bad")
        assert_looks_right(page, "refused")
        page.fill("#token", presented)
        page.keyboard.press("Enter")
        page.wait_for_selector("h1:has-text('Trades')")
        assert page.get_by_text("Nothing is known of this hour").is_visible()
        page.goto(address)
        page.wait_for_selector("#headline .sentence")
        page.wait_for_selector("#audit [hx-get]:not([aria-busy])")
        assert_looks_right(page, "status")
        page.get_by_role("button", name="Log out").click()
        page.wait_for_url("**/login*")
        assert [each for each in complaints if "40" not in each] == []


def test_every_cell_with_a_hole_is_reached_by_the_keyboard(open_service, started):
    with page_of(started, viewport={"width": 1280, "height": 844}) as (page, complaints):
        page.goto(open_service)
        page.wait_for_selector("#coverage [hx-get]:not([aria-busy])")
        wanted = page.locator(".coverage td a").evaluate_all("cells => cells.map(cell => cell.href)")
        page.locator(".coverage td a").first.focus()
        reached = []
        for _ in wanted:
            reached.append(page.evaluate("document.activeElement.href"))
            assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
            page.keyboard.press("Tab")
        assert reached == wanted
        assert len(wanted) == 2
        assert complaints == []
