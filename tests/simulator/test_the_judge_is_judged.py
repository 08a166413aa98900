"""Defects planted into a recording that is as it should be: each is noticed by its judge, and named."""

import pytest

from app.postgres.connection import connected
from app.postgres.databases import DatabaseKind
from tests.servers import new_database
from tests.simulator.defects import AUDITED, BEST_BID_DROPPED, CLAIMS, DEALS, FILES, JOURNALS, OBJECTS, ROWS
from tests.simulator.judges import Judged, JudgedLake, judge_coverage, recorded_into


@pytest.fixture(scope="module")
def original(tmp_path_factory, server, templates):
    production = new_database(server, templates[DatabaseKind.PRODUCTION])
    return recorded_into(production, tmp_path_factory.mktemp("original"))


@pytest.fixture
def production(original):
    """For a test to damage, in one transaction that ends with it."""
    with connected(original.production) as connection:
        yield Judged(original.truth, connection)


@pytest.fixture
def copied_production(original, server):
    """For a test whose judge commits."""
    with connected(new_database(server, original.production)) as connection:
        yield Judged(original.truth, connection)


@pytest.fixture
def lake(original, tmp_path, server):
    return JudgedLake(original, tmp_path / "lake", server)


def test_nothing_is_noticed_in_a_production_that_is_right(production):
    assert production.noticed() == set()
    assert production.undeclared() == set()


def test_the_audits_find_nothing_in_a_production_that_is_right(copied_production):
    assert copied_production.found_by_snapshots() == set()
    assert copied_production.found_by_quotes() == set()


def test_nothing_is_noticed_in_a_lake_that_is_right(lake):
    assert lake.noticed() == set()
    assert lake.differences() == {}


@pytest.mark.parametrize("defect", ROWS)
def test_the_check_names(production, defect):
    plant, names = ROWS[defect]
    plant(production)
    # A book that is made of wrong rows may be one of those that are compared.
    consequences = set() if ("books", "altered") in names else {("books", "altered")}
    assert production.noticed() - consequences == names


@pytest.mark.parametrize("defect", CLAIMS)
def test_the_comparison_of_holes_names(production, defect):
    statement, channels = CLAIMS[defect]
    production.execute(statement)
    assert production.undeclared() == channels


@pytest.mark.parametrize("defect", JOURNALS)
def test_the_comparison_of_holes_names_what_is_wrong_with_journals(copied_production, defect):
    statement, channels = JOURNALS[defect]
    copied_production.execute(statement)
    copied_production.execute("UPDATE coverage_changes SET changes = changes + 1")
    copied_production.connection.commit()
    judge_coverage(copied_production.connection)
    assert copied_production.undeclared() == channels


@pytest.mark.parametrize("defect", AUDITED)
def test_the_audit_by_snapshots_finds(copied_production, defect):
    AUDITED[defect](copied_production)
    assert len(copied_production.found_by_snapshots()) == 1


def test_the_audit_by_quotes_finds_a_change_dropped(copied_production):
    copied_production.execute(BEST_BID_DROPPED)
    assert len(copied_production.found_by_quotes()) == 1


@pytest.mark.parametrize("defect", FILES)
def test_the_check_and_the_verification_of_a_lake_name(lake, defect):
    plant, names, difference = FILES[defect]
    plant(lake)
    assert lake.noticed() == names
    assert difference in lake.differences()[DEALS]


@pytest.mark.parametrize("defect", OBJECTS)
def test_the_verification_of_a_lake_names(lake, defect):
    plant, difference = OBJECTS[defect]
    plant(lake)
    differences = lake.differences()
    assert differences.keys() == {DEALS}
    assert difference in differences[DEALS]
