"""Whom an ops port answers: programs and people who mean it, and no page of the web that uses somebody's browser."""

import pytest

from tests.admin.browser import browser, page_of
from tests.ops.ops import running_ops

CHANGES = ("/admin/reconcile", "/admin/poll/MARKET-1")


@pytest.fixture(scope="module")
def named():
    with running_ops(KALSHI_OPS_HOSTS="a.example, Gatherer-1b") as started:
        yield started


@pytest.mark.parametrize("path", CHANGES)
@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Dest": "document"},
        {"Host": "evil.example"},
    ],
)
def test_another_site_s_page_cannot_have_a_gatherer_do_anything(ops, path, headers):
    answer = ops.ask("POST", path, headers=headers)
    assert answer.status_code == 403
    assert answer.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:9090", "a.example"])
def test_a_name_that_somebody_made_point_here_is_not_answered(ops, host):
    for path in ("/health", "/metrics", "/admin/connections"):
        assert ops.get(path, headers={"Host": host}).status_code == 403


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "10.0.1.20:9090", "[::1]:9090", "localhost:9090", "a.example:9090", "gatherer-1B"]
)
def test_addresses_and_its_own_names_are_answered(named, host):
    assert named.get("/health", headers={"Host": host}).status_code == 200


def test_a_page_of_the_web_reads_nothing_and_a_link_on_it_leads_here(ops):
    embedded = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "script"}
    assert ops.get("/metrics", headers=embedded).status_code == 403
    assert (
        ops.get("/metrics", headers={"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "document"}).status_code == 200
    )


def test_a_form_in_a_real_browser_on_another_site_s_page_is_refused(ops):
    form = f'<form method="post" action="{ops.url}/admin/reconcile"><button>win</button></form>'
    with browser() as started, page_of(started) as (page, _):
        page.route("http://other.example/", lambda route: route.fulfill(content_type="text/html", body=form))
        page.goto("http://other.example/")
        with page.expect_response("**/admin/reconcile") as answered:
            page.get_by_role("button").click()
        assert answered.value.status == 403
