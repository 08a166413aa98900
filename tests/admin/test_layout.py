"""What the pages look like, measured in a real browser: nothing is cut off, and axe-core finds nothing wrong."""

from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from app.postgres.databases import DatabaseKind
from app.runtime.secrets import TokenRole
from tests.admin.browser import browser, page_of
from tests.admin.seeded import TICKER
from tests.admin.test_service import admin
from tests.admin.visits import PANELS, open_page, visits
from tests.gatherers import execute
from tests.processes import wait_until
from tests.servers import new_database

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
def empty_service(server, templates):
    dsn = new_database(server, templates[DatabaseKind.PRODUCTION])
    with admin(KALSHI_PRODUCTION_DSN=dsn.reveal()) as (address, _):
        yield address


@pytest.fixture(scope="module")
def outage(seeded):
    """The hour that has one."""
    ((hour,),) = execute(seeded, "SELECT min(hour) FROM coverage_holes WHERE kind = 'outage'")
    return hour


@pytest.fixture(scope="module")
def guarded_service(seeded, tokens):
    presented, known = tokens
    listed = known.reveal().replace("\n", ";")
    with admin(KALSHI_PRODUCTION_DSN=seeded.reveal(), KALSHI_ADMIN_TOKENS=listed) as (address, _):
        yield address, presented[TokenRole.READ]


def assert_fits(page, name):
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0, name
    assert page.evaluate(CUT) == [], name


def assert_looks_right(page, name, rules=RULES):
    assert_fits(page, name)
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


def walk(page, address, hour, look):
    for visit in visits(TICKER, hour, "rain"):
        open_page(page, address, visit)
        look(visit.name)


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_cut_off_and_everybody_can_use_it(open_service, outage, started, width, tmp_path):
    with page_of(started, viewport={"width": width, "height": 844}) as (page, complaints):

        def look(name):
            # Each page is opened once: its colours, and nothing else of it, change as they do in the evening.
            for scheme, rules in SCHEMES.items():
                page.emulate_media(color_scheme=scheme)
                with pictured(page, tmp_path / f"{name}-{width}-{scheme}.png"):
                    assert_looks_right(page, f"{name} at {width}, {scheme}", rules)

        walk(page, open_service, outage, look)
        # The last page asked for does not exist.
        assert [each for each in complaints if "404" not in each] == []


@pytest.mark.parametrize("width", WIDTHS)
def test_with_tokens_the_pages_are_the_same_after_the_login(guarded_service, outage, started, width):
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
        walk(page, address, outage, lambda name: assert_fits(page, name))
        page.get_by_role("button", name="Log out").click()
        page.wait_for_url("**/login*")
        assert [each for each in complaints if "40" not in each] == []


@pytest.mark.parametrize("width", WIDTHS)
def test_what_is_empty_unknown_or_unreachable_fits_too(empty_service, started, width):
    """A platform on its first day; then pages whose parts are not answered yet, and then never."""
    with page_of(started, viewport={"width": width, "height": 844}) as (page, complaints):
        for visit in visits("KX-1-T1", datetime.now(UTC), "rain"):
            page.goto(f"{empty_service}{visit.path}")
            wait_until(lambda: page.evaluate("document.querySelector('[aria-busy]') === null"), what="every part")
            assert_fits(page, f"{visit.name} at {width}")
        assert [each for each in complaints if "404" not in each] == []
        held = []

        def hold(route):
            held.append(route)

        page.route("**/parts/**", hold)
        page.goto(empty_service)
        # What is caught comes in while the page is asked something.
        wait_until(lambda: page.evaluate("true") and len(held) == len(PANELS), what="the requests of all parts")
        assert page.locator(".waiting").all_inner_texts() == ["Loading…"] * len(PANELS)
        assert_looks_right(page, "loading")
        for route in held:
            route.abort()
        page.wait_for_selector("#trouble:not([hidden])")
        page.locator("#audit .waiting.bad", has_text="The service does not answer").wait_for()
        assert_looks_right(page, "unreachable")


# Nothing is loaded again, and takes the place of what has been reached.
MOST_TABS = 70  # of an event's 250 links one is as the other
ONCE = "window.setInterval = () => 0"
# Which of all that can be reached was, and what was reached without that being visible.
WATCH = """
() => {
  const all = 'a[href], button, input:not([type=hidden]), summary, [tabindex="0"]';
  window.missing = new Set([...document.querySelectorAll(all)].filter(
    element => element.checkVisibility() && !element.closest('details:not([open]) > :not(summary)')
  ));
  window.unmarked = [];
  document.addEventListener('focusin', ({ target }) => {
    missing.delete(target);
    if (getComputedStyle(target).outlineStyle === 'none') unmarked.push(target.outerHTML);
  });
  document.activeElement.blur();
  return missing.size;
}
"""


def test_the_keyboard_alone_reaches_everything_of_every_page(open_service, outage, started):
    with page_of(started, viewport={"width": 1280, "height": 844}) as (page, _):
        page.add_init_script(ONCE)

        def look(name):
            count = page.evaluate(WATCH)
            assert count > 5
            # Once more, past the end of the page, where the focus began in its midst.
            pressed = min(count + 1, MOST_TABS)
            for _ in range(pressed):
                page.keyboard.press("Tab")
            left = page.evaluate("[...missing].map(element => element.outerHTML)")
            assert len(left) == max(0, count - pressed), f"{name}: {left}"
            assert page.evaluate("unmarked") == [], name

        walk(page, open_service, outage, look)


def test_every_cell_with_a_hole_is_reached_by_the_keyboard(open_service, started):
    with page_of(started, viewport={"width": 1280, "height": 844}) as (page, complaints):
        page.goto(open_service)
        page.wait_for_selector("#coverage [data-part]:not([aria-busy])")
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
