"""Times with a zone, wherever one may be asked for: Python knows more zones than PostgreSQL."""

from datetime import timedelta, timezone

import pytest

from admin.api.listings import LISTINGS
from admin.api.paging import MomentText, moment
from tests.admin.seeded import TICKER

TOO_FAR = ("+16:00", "-16:00", "+23:59", "-15:59:60", "+18:00:01")
JOB = {"from": "2026-11-21T15:00:00Z", "to": "2026-11-21T16:00:00Z"}


def places():
    """Every parameter that is a time, by the path that has it."""
    for listing in LISTINGS:
        path = f"/admin{listing.path}".replace("<ticker>", TICKER)
        yield from ((path, name) for name, each in listing.filters.items() if isinstance(each.field, MomentText))
    yield from ((f"/admin/markets/{TICKER}/{what}", name) for what, name in QUOTES)


QUOTES = (("candles", "from"), ("candles", "to"), ("book", "at"))
PLACES = sorted(places())


def test_lists_have_such_parameters():
    assert len(PLACES) > 10


@pytest.mark.parametrize(("path", "name"), PLACES, ids=["?".join(place) for place in PLACES])
def test_a_zone_that_there_is_not_is_refused_by_the_field_s_name(api, path, name):
    for zone in TOO_FAR:
        answer = api.get(path, query_string={name: f"2026-01-01T00:00:00{zone}"})
        assert answer.status_code == 400, answer.text
        assert list(answer.json["errors"]) == [name]
    assert api.get(path, query_string={name: "2026-01-01T00:00:00+14:00"}).status_code < 500


@pytest.mark.parametrize(
    "listing", [each for each in LISTINGS if each.keys[0].read is moment], ids=lambda each: each.name
)
def test_nor_may_a_page_begin_after_one(api, listing):
    path = f"/admin{listing.path}".replace("<ticker>", TICKER)
    for zone in TOO_FAR:
        word = "~".join([f"2026-01-01T00:00:00{zone}", *("1" for _ in listing.keys[1:])])
        answer = api.get(path, query_string={"after": word})
        assert answer.status_code == 400, answer.text
        assert list(answer.json["errors"]) == ["after"]


@pytest.mark.parametrize("name", JOB)
def test_nor_a_job_be_of_one(api, name):
    answer = api.post("/admin/jobs/backfill", {**JOB, name: "2026-11-21T15:00:00+16:00"})
    assert answer.status_code == 400
    assert list(answer.json["errors"]) == [name]


def test_the_same_moment_is_asked_for_in_any_zone(api):
    path, found = f"/admin/markets/{TICKER}/trades", []
    whole = api.json(path, limit=1000)["trades"]
    middle = whole[len(whole) // 2]["exchange_ts"]
    for zone in (0, 14, -12):
        local = moment(middle.replace("Z", "+00:00")).astimezone(timezone(timedelta(hours=zone)))
        found.append(api.json(path, limit=1000, **{"from": local.isoformat()})["trades"])
    assert found[0]
    assert found[0] == found[1] == found[2]
