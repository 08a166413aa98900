"""The pages as people see them: in a browser, over the service as it is run."""

import re
from datetime import UTC, datetime

import pytest

from tests.admin.browser import browser, page_of
from tests.admin.seeded import TICKER, TRADED_ONCE
from tests.admin.test_service import admin
from tests.admin.visits import go_below, open_page, visits
from tests.processes import wait_until


@pytest.fixture(scope="module")
def running_service(seeded):
    with admin(KALSHI_PRODUCTION_DSN=seeded.reveal()) as (address, _):
        yield address


@pytest.fixture(scope="module")
def started():
    with browser() as launched:
        yield launched


def test_a_walk_through_the_pages_meets_no_error(running_service, started):
    with page_of(started) as (page, complaints):
        page.goto(running_service)
        page.wait_for_selector(".coverage td.slight")
        # Three parts of eight hours, with a row for each channel.
        assert page.locator(".coverage tbody tr").count() == 3 * 4
        # Of 24 hours some are complete in each row, whatever the time of day.
        assert page.locator(".coverage tbody tr:has(td.complete)").count() >= 2 * 4
        page.wait_for_selector(".production .badge.bad")
        page.locator(".audit tbody tr:first-child .bad", has_text="unexplained").wait_for()
        assert_fits(page)
        page.locator(".holes a", has_text=TICKER).click()
        page.wait_for_selector(".ladder .bid")
        assert page.locator(".ladder .middle").inner_text() == "43¢ bid, 45¢ asked: a spread of 2¢"
        go_below(page, ["candles"])
        page.get_by_role("button", name="Hours", exact=True).click()
        wait_until(lambda: page.locator("[data-interval][aria-pressed=true]").inner_text() == "Hours")
        assert page.locator(".trades tbody tr").count() == 25
        assert_fits(page)
        page.get_by_role("link", name="API").click()
        page.locator("summary", has_text="/admin/cursors/rewind").click()
        assert page.get_by_text("dry_run").first.is_visible()
        assert_fits(page)
        assert complaints == []


# Charts are drawn on a canvas: what their axes show is asked of them.
KEEP_CHARTS = """
() => {
  const original = uPlot;
  window.charts = [];
  uPlot = function (...given) { const made = new original(...given); charts.push(made); return made; };
  uPlot.tzDate = original.tzDate;
}
"""


def test_one_candle_alone_is_not_stretched_over_years(running_service, started):
    with page_of(started) as (page, complaints):
        page.goto(f"{running_service}/markets/{TRADED_ONCE}")
        go_below(page, ["candles"])
        page.evaluate(KEEP_CHARTS)
        page.get_by_role("button", name="Days").click()
        wait_until(lambda: page.evaluate("charts.length && charts.at(-1).data[0].length == 1"))
        shown = page.evaluate("[charts.at(-1).scales.x.min, charts.at(-1).scales.x.max, ...charts.at(-1).data[0]]")
        assert shown[1] == shown[-1] + 86_400
        assert shown[0] == shown[-1] - 20 * 86_400
        assert complaints == []


def test_the_book_of_any_time_is_reached_by_the_keyboard(running_service, started):
    with page_of(started) as (page, complaints):
        page.goto(f"{running_service}/markets/{TICKER}")
        page.wait_for_selector(".ladder .bid")
        go_below(page, ["spread"])
        page.locator("#when").focus()
        latest = page.locator("#when").get_attribute("aria-valuetext")
        assert latest.startswith("the latest")
        page.keyboard.press("PageDown")
        page.keyboard.press("ArrowLeft")
        page.locator(".book .as-of", has_text="As of").wait_for()
        at = page.locator("#at").input_value()
        assert at in page.url.replace("%3A", ":")
        assert page.locator("#when").get_attribute("aria-valuetext") == at.replace("T", " ").rstrip("Z")
        shown = page.locator(".trades tbody td[title]").first.get_attribute("title")
        assert datetime.fromisoformat(shown) <= datetime.fromisoformat(at)
        hour = at[:14]
        page.locator(f".download a[href*='hour={hour}00Z']").first.wait_for()
        assert f'lake.book(ticker, "{at}")' in page.locator("#python").inner_text()
        page.get_by_role("button", name="Copy as Python").click()
        page.locator(".download [role=status]:not(:empty)").wait_for()
        # Another visit by the same address shows the same time; and from there one returns to the latest.
        page.reload()
        page.locator(".book .as-of", has_text="As of").wait_for()
        page.get_by_role("button", name="Latest").click()
        page.locator(".book .as-of", has_text="Last known").wait_for()
        assert "at=" not in page.url
        page.fill("#at", "yesterday")
        page.get_by_role("button", name="Show").click()
        assert page.evaluate("document.getElementById('at').validationMessage").startswith("Not a time")
        assert complaints == []


def test_holes_are_shaded_in_every_chart(running_service, started, seeded):
    with page_of(started) as (page, complaints):
        page.goto(f"{running_service}/markets/{TICKER}")
        page.get_by_role("button", name="1 day").click()
        page.locator(".depth .holes-in", has_text="a hole of 60 s").wait_for()
        go_below(page, ["candles"])
        page.locator(".candles .holes-in", has_text="No hole in this time.").wait_for()
        known = page.evaluate("['spread', 'depth'].map(id => document.getElementById(id).known.holes.length)")
        assert known == [1, 1]
        assert complaints == []


def test_every_page_weighs_less_than_150_kb_with_all_that_it_asks_for(running_service, started):
    for visit in visits(TICKER, datetime.now(UTC), "rain"):
        with page_of(started) as (page, _):
            received = []
            network = page.context.new_cdp_session(page)
            network.send("Network.enable")
            network.on("Network.loadingFinished", lambda event, received=received: received.append(event))
            open_page(page, running_service, visit)
            assert 5_000 < sum(event["encodedDataLength"] for event in received) < 150_000, visit.name


def test_from_a_word_over_the_series_to_all_strikes_of_an_event(running_service, started):
    with page_of(started) as (page, complaints):
        page.goto(f"{running_service}/markets?text=rain")
        page.get_by_role("link", name="Rain in New York").click()
        page.get_by_role("link", name="KXRAIN-26NOV21").click()
        page.wait_for_selector(".strikes tbody tr")
        first = page.locator(".strikes tbody tr").first
        assert first.inner_text().split() == [
            "1",
            "mm",
            "or",
            "more",
            "active",
            "43¢",
            "45¢",
            "43¢",
            "0.01",
            "99.7",
            "%",
        ]
        first.get_by_role("link").click()
        page.wait_for_url(re.compile("M001$"))
        page.get_by_role("link", name="How much rain on 21 November?").click()
        page.wait_for_url(re.compile("/events/"))
        assert complaints == []


def test_a_market_is_found_by_the_keyboard_alone(running_service, started):
    with page_of(started) as (page, complaints):
        page.goto(running_service)
        page.keyboard.press("/")
        page.keyboard.type("rain 249")
        page.keyboard.press("Enter")
        page.wait_for_url(re.compile("/markets"))
        page.keyboard.press("Control+A")
        page.keyboard.type("m248")
        page.locator("#found tbody tr:only-child a", has_text="M248").wait_for()
        page.keyboard.press("Tab")
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        page.wait_for_url(re.compile("M248$"))
        assert complaints == []


def test_parts_ask_again_by_themselves_and_say_when_nobody_answers(running_service, started):
    with page_of(started) as (page, _):
        page.goto(f"{running_service}/markets/{TICKER}")
        page.wait_for_selector(".ladder .bid")
        first = page.locator(".book .as-of").inner_text()
        wait_until(lambda: page.locator(".book .as-of").inner_text() != first)
        page.context.set_offline(True)
        page.wait_for_selector("#trouble:not([hidden])")
        # What was shown before stays, below the reason.
        page.wait_for_selector(".book [data-trouble*='does not answer'] .ladder")
        page.context.set_offline(False)
        page.wait_for_selector(".book [data-part]:not([data-trouble]) .ladder")


def test_why_nothing_is_shown_is_said_on_top_and_in_each_part(started):
    with admin() as (address, _), page_of(started) as (page, _):
        page.goto(address)
        page.locator("#trouble", has_text="KALSHI_PRODUCTION_DSN is not set.").wait_for()
        page.locator(".holes .waiting.bad", has_text="KALSHI_PRODUCTION_DSN is not set.").wait_for()
        assert page.evaluate("document.querySelector('#trouble').getBoundingClientRect().top") < 200
        page.goto(f"{address}/nope")
        page.get_by_role("heading", name="There is no such page").wait_for()
        page.get_by_role("main").get_by_role("link", name="Status").click()
        page.wait_for_selector("h1:text('Status')")


def assert_fits(page):
    assert not page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
