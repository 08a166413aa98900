"""Sessions of people who log in: what begins one, what ends it, and where it leads."""

from datetime import UTC, date, datetime, timedelta

import pytest

from admin.web.access import LONGEST_SESSION, LONGEST_UNUSED_SESSION, MOST_OF_ONE_TOKEN, LoginSessions, own_page
from app.runtime.secrets import Token, TokenRole, Tokens, new_token
from tests.admin.asked import Asked, service_of

ADA = Token("ada", TokenRole.READ, b"")
BOB = Token("bob", TokenRole.READ, b"")
PERSON = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


class Clock:
    def __init__(self):
        self.now = datetime(2027, 1, 1, tzinfo=UTC)

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def browser(seeded, tokens):
    return Asked(service_of(seeded, tokens[1]))


def log_in(browser, presented, **more):
    return browser.ask("POST", "/login", data={"token": presented, **more})


def status_with(browser, cookie):
    """As somebody else presents it."""
    client = browser._client.application.test_client(use_cookies=False)
    return client.get("/admin/series", headers={"Cookie": cookie}).status_code


def test_whoever_shows_a_token_is_given_a_session_and_not_the_token(browser, tokens):
    presented = tokens[0][TokenRole.READ]
    assert "The token is unknown" in log_in(browser, "wrong").text
    answer = log_in(browser, presented)
    assert answer.status_code == 303
    cookie = answer.headers["Set-Cookie"]
    assert presented not in cookie
    assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= set(cookie.split("; "))
    assert browser.get("/").status_code == 200
    assert browser.post("/admin/cursors/rewind", {}).status_code == 403


def test_logging_out_ends_the_session_itself(browser, tokens):
    cookie = log_in(browser, tokens[0][TokenRole.READ]).headers["Set-Cookie"].split(";")[0]
    assert status_with(browser, cookie) == 200
    assert browser.ask("POST", "/logout").headers["Location"] == "/login"
    assert browser.get("/").status_code == 303
    assert status_with(browser, cookie) == 401


def test_logging_in_again_ends_the_session_before(browser, tokens):
    before, after = (
        log_in(browser, tokens[0][role]).headers["Set-Cookie"].split(";")[0]
        for role in (TokenRole.OPERATE, TokenRole.READ)
    )
    assert [status_with(browser, cookie) for cookie in (before, after)] == [401, 200]


def test_the_cookie_of_a_token_is_no_session(browser, tokens):
    for name in ("kalshi_session", "kalshi_token"):
        assert status_with(browser, f"{name}={tokens[0][TokenRole.READ]}") == 401


def test_a_person_lands_where_he_wanted_to_go(browser, tokens):
    location = browser.get("/markets?text=rain").headers["Location"]
    assert location == "/login?next=%2Fmarkets%3Ftext%3Drain"
    assert 'name="next" value="/markets?text=rain"' in browser.get(location).text
    answer = log_in(browser, tokens[0][TokenRole.READ], next="/markets?text=rain")
    assert answer.headers["Location"] == "/markets?text=rain"
    assert browser.get(location).headers["Location"] == "/markets?text=rain"


def test_a_person_is_asked_to_log_in_where_a_program_is_refused(browser):
    for path in ("/docs", "/admin/series"):
        assert browser.get(path, headers=PERSON).headers["Location"].startswith("/login?next=")
        assert browser.get(path, headers={"Accept": "application/json"}).status_code == 401
    assert browser.get("/parts/audit", headers={"X-Requested-With": "script", **PERSON}).status_code == 401


@pytest.mark.parametrize(
    "wanted",
    [
        *("", "https://evil.example/", "//evil.example/", "/\\evil.example", "\\\\evil.example", "evil.example"),
        *("/\t/evil.example", "/\n/evil.example", "javascript:alert(1)", "/ü", "/login?next=/", "/" + "a" * 2_000),
    ],
)
def test_an_address_elsewhere_is_not_where_one_lands(browser, tokens, wanted):
    assert own_page(wanted) == "/"
    assert log_in(browser, tokens[0][TokenRole.READ], next=wanted).headers["Location"] == "/"


def test_over_plain_http_from_elsewhere_nobody_is_asked_for_a_token(browser, tokens):
    far = {"environ_base": {"REMOTE_ADDR": "10.0.0.9"}, "headers": {"Host": "10.0.1.20:8000"}}
    form = browser.get("/login", **far)
    assert "over plain HTTP" in form.text
    assert "<form method" not in form.text
    answer = browser.ask("POST", "/login", data={"token": tokens[0][TokenRole.READ]}, **far)
    assert answer.status_code == 403
    assert "Set-Cookie" not in answer.headers


def test_a_token_that_has_expired_is_neither_accepted_nor_exchanged_for_a_session(seeded):
    today = datetime.now(UTC).date()
    old, good = (new_token(name, TokenRole.READ, day) for name, day in (("old", today), ("good", date.max)))
    browser = Asked(service_of(seeded, Tokens("\n".join(token.entry for _, token in (old, good)))))
    assert "expired" in log_in(browser, old[0]).text
    answer = browser.get("/admin/series", headers={"Authorization": f"Bearer {old[0]}"})
    assert answer.status_code == 401
    assert answer.json["detail"] == f"The token expired on {today}."
    assert browser.get("/admin/series", headers={"Authorization": f"Bearer {good[0]}"}).status_code == 200


def test_a_session_that_nobody_uses_is_over_sooner(clock):
    sessions = LoginSessions(clock)
    name = sessions.begin(ADA)
    for _ in range(3):
        clock.now += LONGEST_UNUSED_SESSION - timedelta(seconds=1)
        assert sessions.token_of(name) == ADA
    clock.now += LONGEST_UNUSED_SESSION
    assert sessions.token_of(name) is None


def test_a_session_is_over_after_a_while_however_much_it_is_used(clock):
    sessions = LoginSessions(clock)
    name, ends = sessions.begin(ADA), clock.now + LONGEST_SESSION
    while (clock.now + timedelta(hours=11)) < ends:
        clock.now += timedelta(hours=11)
        assert sessions.token_of(name) == ADA
    clock.now = ends
    assert sessions.token_of(name) is None


def test_a_session_is_over_when_its_token_is(clock):
    sessions = LoginSessions(clock)
    name = sessions.begin(ADA._replace(expires=date(2027, 1, 2)))
    clock.now += timedelta(hours=11)
    assert sessions.token_of(name) is not None
    clock.now += timedelta(hours=11)
    sessions.token_of(name)
    clock.now = datetime(2027, 1, 2, tzinfo=UTC)
    assert sessions.token_of(name) is None


def test_of_one_token_there_are_so_many_sessions_and_others_lose_none(clock):
    sessions = LoginSessions(clock)
    of_bob = sessions.begin(BOB)
    of_ada = [sessions.begin(ADA) for _ in range(MOST_OF_ONE_TOKEN + 5)]
    assert len(sessions) == MOST_OF_ONE_TOKEN + 1
    assert [sessions.token_of(name) is None for name in of_ada] == [True] * 5 + [False] * MOST_OF_ONE_TOKEN
    assert sessions.token_of(of_bob) == BOB


def test_sessions_that_are_over_are_forgotten(clock):
    sessions = LoginSessions(clock)
    sessions.begin(ADA)
    clock.now += LONGEST_SESSION
    sessions.begin(BOB)
    assert len(sessions) == 1
