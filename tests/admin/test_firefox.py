"""The pages in Firefox: each is opened at each width; what only looks different in dark is the other browser's matter."""

from datetime import UTC, datetime

import pytest

from tests.admin.firefox import firefox
from tests.admin.seeded import TICKER
from tests.admin.test_layout import CUT, WIDTHS
from tests.admin.test_service import admin
from tests.admin.visits import go_below, open_page, visits
from tests.processes import wait_until


@pytest.fixture(scope="module")
def page(seeded):
    with firefox() as started:
        yield started


@pytest.fixture(scope="module")
def running_service(seeded):
    with admin(KALSHI_PRODUCTION_DSN=seeded.reveal()) as (address, _):
        yield address


def test_no_page_has_an_error_a_cut_text_or_something_beside_the_window(page, running_service):
    for visit in visits(TICKER, datetime.now(UTC), "rain"):
        page.complaints.clear()
        page.resize(WIDTHS[0], 844)
        open_page(page, running_service, visit)
        for width in WIDTHS:
            page.resize(width, 844)
            wait_until(lambda width=width: page.evaluate("innerWidth") == width)
            name = f"{visit.name} at {width}"
            assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0, (
                name
            )
            assert page.evaluate(f"({CUT})()") == [], name
        assert page.complaints == [], visit.name


def test_the_book_of_any_time_is_reached_by_the_keyboard_in_firefox_too(page, running_service):
    page.complaints.clear()
    page.goto(f"{running_service}/markets/{TICKER}")
    page.wait_for_selector(".ladder .bid")
    go_below(page, ["spread"])
    page.evaluate("document.getElementById('when').focus()")
    page.press("PageDown")
    page.press("ArrowLeft")
    wait_until(lambda: page.evaluate("document.querySelector('.book .as-of')?.textContent.includes('As of')"))
    at = page.evaluate("document.getElementById('at').value")
    assert at in page.evaluate("location.href").replace("%3A", ":")
    page.press("Tab")
    assert page.evaluate("document.activeElement.id") != "when"
    assert page.complaints == []
