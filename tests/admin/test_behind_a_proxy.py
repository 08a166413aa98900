"""The service as it is really run: behind a proxy with TLS, and asked by people with browsers."""

import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from urllib.parse import unquote, urlencode

import pytest

from app.runtime.secrets import TokenRole
from tests.admin.browser import browser, page_of
from tests.admin.nginx import proxy
from tests.admin.seeded import TICKER
from tests.admin.test_service import admin

REWIND = json.dumps({"gatherer": "gatherer-1a", "table": "trades", "dry_run": True})
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def platform(seeded, tokens, tmp_path_factory):
    """Two services, with tokens and without, each behind nginx that tells of its clients, and one that does not."""
    known = tokens[1].reveal().replace("\n", ";")
    dsn = seeded.reveal()
    with (
        admin(KALSHI_PRODUCTION_DSN=dsn, KALSHI_ADMIN_TOKENS=known, KALSHI_ADMIN_PROXY="127.0.0.1") as (named, _),
        admin(KALSHI_PRODUCTION_DSN=dsn) as (open_to_all, _),
        proxy(tmp_path_factory.mktemp("nginx"), (named, True), (open_to_all, True), (open_to_all, False)) as nginx,
    ):
        named_port, told_port, silent_port = nginx.ports
        yield SimpleNamespace(
            ask=nginx.ask,
            direct=named,
            named=named_port,
            told=told_port,
            silent=silent_port,
            token=tokens[0][TokenRole.READ],
        )


@pytest.fixture(scope="module")
def started():
    with browser() as launched:
        yield launched


def log_in(page, platform, address):
    """To a market's page as it was, which asks for a token first."""
    at = datetime.now(UTC) - timedelta(minutes=10)
    wanted = f"{address}/markets/{TICKER}?at={at:%Y-%m-%dT%H:%M:%SZ}"
    page.goto(wanted)
    page.get_by_label("Token").fill("wrong")
    page.get_by_role("button", name="Log in").click()
    page.get_by_text("The token is unknown.").wait_for()
    page.get_by_label("Token").fill(platform.token)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url(lambda url: unquote(url) == wanted)
    page.wait_for_selector(".ladder")


def test_a_browser_logs_in_lands_where_it_wanted_to_go_and_logs_out(platform, started):
    with page_of(started) as (page, complaints):
        log_in(page, platform, platform.direct)
        (cookie,) = page.context.cookies()
        assert (cookie["name"], cookie["httpOnly"], cookie["sameSite"]) == ("kalshi_session", True, "Lax")
        assert platform.token not in cookie["value"]
        page.get_by_role("button", name="Log out").click()
        page.wait_for_url(f"{platform.direct}/login")
        page.goto(f"{platform.direct}/docs")
        page.wait_for_url(f"{platform.direct}/login?next=%2Fdocs")
        assert page.context.cookies() == []
        assert [each for each in complaints if "401" not in each] == []


def test_behind_a_proxy_the_session_is_for_tls_alone(platform, started):
    address = f"https://localhost:{platform.named}"
    with page_of(started, ignore_https_errors=True) as (page, complaints):
        log_in(page, platform, address)
        (cookie,) = page.context.cookies()
        assert (cookie["name"], cookie["secure"], cookie["httpOnly"]) == ("__Host-kalshi_session", True, True)
        page.get_by_role("button", name="Log out").click()
        page.wait_for_url(f"{address}/login")
        assert page.context.cookies() == []
        assert [each for each in complaints if "401" not in each] == []


def test_a_link_from_another_site_finds_one_logged_in(platform, started):
    with page_of(started) as (page, _):
        log_in(page, platform, platform.direct)
        other_site(page, f'<a href="{platform.direct}/docs">docs</a>')
        page.get_by_role("link").click()
        page.wait_for_url(f"{platform.direct}/docs")


def test_a_form_of_another_site_changes_nothing(platform, started):
    with page_of(started) as (page, _):
        log_in(page, platform, platform.direct)
        other_site(page, f'<form method="post" action="{platform.direct}/logout"><button>win</button></form>')
        with page.expect_response("**/logout") as answered:
            page.get_by_role("button").click()
        assert answered.value.status == 403
        page.goto(f"{platform.direct}/docs")
        page.wait_for_url(f"{platform.direct}/docs")


def other_site(page, content):
    page.route("http://other.example/", lambda route: route.fulfill(content_type="text/html", body=content))
    page.goto("http://other.example/")


def test_over_tls_browsers_are_told_to_stay_with_it(platform):
    answer = platform.ask(platform.named, "/login")
    assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"
    form = urlencode({"token": platform.token})
    answer = platform.ask(
        platform.named, "/login", "POST", headers={"Content-Type": "application/x-www-form-urlencoded"}, body=form
    )
    assert {"Secure", "HttpOnly", "Path=/"} <= set(answer.headers["Set-Cookie"].split("; "))


def test_each_client_of_a_proxy_has_a_count_of_its_own_whatever_it_says_of_itself(platform):
    wrong = {"Authorization": "Bearer wrong"}
    statuses = [
        platform.ask(
            platform.named,
            "/admin/series",
            source="127.0.0.2",
            headers={**wrong, "X-Forwarded-For": f"10.0.0.{number}"},
        ).status
        for number in range(12)
    ]
    assert statuses == [401] * 10 + [429] * 2
    assert platform.ask(platform.named, "/admin/series", source="127.0.0.3", headers=wrong).status == 401
    right = {"Authorization": f"Bearer {platform.token}"}
    assert platform.ask(platform.named, "/admin/series", source="127.0.0.2", headers=right).status == 200


@pytest.mark.parametrize("port", ["told", "silent"])
def test_without_tokens_a_proxy_on_the_same_host_gives_nothing_away(platform, port):
    for method, path, body in (("GET", "/admin/series", None), ("POST", "/admin/cursors/rewind", REWIND)):
        answer = platform.ask(getattr(platform, port), path, method, headers=JSON, body=body)
        assert answer.status == 403, answer.text
