"""What is refused or cannot be done: a page for people, application/problem+json for programs, with the reason for both."""

import pytest

from tests.admin.asked import Asked, service_of

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
PROGRAMS = ("*/*", "application/json", "application/problem+json, */*;q=0.1", "text/csv", "")


@pytest.fixture(scope="module")
def without_database():
    return Asked(service_of(None))


@pytest.mark.parametrize(
    ("path", "status", "reason"),
    [
        ("/nope", 404, "not found"),
        ("/markets/KX-GONE", 404, "No market KX-GONE is known."),
        ("/admin/markets/KX-GONE", 404, "No market KX-GONE is known."),
        ("/admin/markets?limit=0", 400, "Not as it should be: limit."),
        ("/logout", 405, "not allowed"),
    ],
)
def test_people_see_a_page_with_the_reason_and_a_way_on(api, path, status, reason):
    answer = api.get(path, headers={"Accept": BROWSER})
    assert (answer.status_code, answer.mimetype) == (status, "text/html")
    assert reason in answer.text
    assert 'href="/"' in answer.text
    assert "Accept" in answer.vary
    for accepted in PROGRAMS:
        problem = api.get(path, headers={"Accept": accepted})
        assert (problem.status_code, problem.mimetype) == (status, "application/problem+json")
        assert reason in problem.json["detail"]


@pytest.mark.parametrize("path", ["/markets", "/markets/KX-1", "/parts/audit", "/admin/series"])
def test_that_the_database_is_away_is_told_to_both(without_database, path):
    page = without_database.get(path, headers={"Accept": BROWSER})
    assert (page.status_code, page.mimetype) == (503, "text/html")
    assert "KALSHI_PRODUCTION_DSN is not set." in page.text
    problem = without_database.get(path)
    assert (problem.status_code, problem.mimetype) == (503, "application/problem+json")
    assert problem.json["detail"] == "KALSHI_PRODUCTION_DSN is not set."


def test_scripts_of_our_pages_are_programs(without_database):
    answer = without_database.get("/parts/audit", headers={"Accept": BROWSER, "X-Requested-With": "script"})
    assert answer.mimetype == "application/problem+json"


def test_a_page_shows_what_was_asked_for_as_text(api):
    answer = api.get("/markets/<script>alert(1)<", headers={"Accept": BROWSER})
    assert "&lt;script&gt;" in answer.text
    assert "<script>alert" not in answer.text
