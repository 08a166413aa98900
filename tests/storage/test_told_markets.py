"""Markets that REST shows no more: the stream's word on their end, beside what REST said of them before."""

import json

import pytest

from app.markets.ingest import read_market, row_without_details
from app.postgres.connection import connected
from app.postgres.databases import DatabaseKind
from app.replicate.follower import METADATA_COPIES, Follower
from app.storage.tables import MARKETS
from app.storage.writer import CopyWriter
from tests.gatherers import execute
from tests.markets.build import DAY_US, NOW_US, SECOND_US, market_json
from tests.servers import new_database

SHOWN_AT_US = NOW_US - DAY_US
COMBO = {"mve_collection_ticker": "KXMVE-C", "rules_primary": "All of them.", "updated_time": "2026-11-21T13:00:00Z"}


@pytest.fixture
def metadata(server, templates):
    return new_database(server, templates[DatabaseKind.METADATA])


@pytest.fixture
def write(metadata):
    writer = CopyWriter(MARKETS, metadata)
    yield lambda *rows: writer.write(rows)
    writer.close()


def shown(updated_us=SHOWN_AT_US, **fields):
    return read_market(market_json(**{**COMBO, **fields}), updated_us)


def told(now_us=NOW_US, **facts):
    market = shown().market._replace(status="finalized", result="no", close_us=NOW_US - SECOND_US)
    return row_without_details(market._replace(**facts), now_us)


def stored(dsn, *columns):
    with connected(dsn) as connection, connection.cursor() as cursor:
        cursor.execute(f"SELECT {', '.join(columns)} FROM markets")
        return cursor.fetchall()


@pytest.mark.parametrize("is_one_batch", [False, True])
def test_the_end_of_a_market_is_stored_and_what_rest_said_of_it_stays(metadata, write, is_one_batch):
    if is_one_batch:
        write(shown().row, told())
    else:
        write(shown().row)
        write(told())
    columns = "status", "result", "extract(epoch FROM close_time)::BIGINT", "title", "mve_collection_ticker", "details"
    assert stored(metadata, *columns) == [
        ("finalized", "no", NOW_US // SECOND_US - 1, "Will it rain?", "KXMVE-C", {"rules_primary": "All of them."})
    ]


def test_a_market_that_rest_never_showed_is_stored_without_details(metadata, write):
    write(told())
    assert stored(metadata, "ticker", "status", "title", "details") == [
        ("KXA-1-T1", "finalized", "Will it rain?", None)
    ]
    write(told(NOW_US + 1, result="yes"))
    assert stored(metadata, "result") == [("yes",)]


def test_what_rest_shows_later_has_the_last_word(metadata, write):
    write(shown().row)
    write(told())
    write(shown(NOW_US + SECOND_US, status="finalized", result="yes", title="It rained").row)
    assert stored(metadata, "status", "result", "title") == [("finalized", "yes", "It rained")]


def test_whoever_reads_on_sees_the_end(metadata, write, production):
    follower = Follower("a", metadata, production, METADATA_COPIES)
    write(shown().row)
    follower.round()
    write(told())
    assert follower.round()["markets"] == 1
    expected = [("finalized", "settled", "no", "Will it rain?", {"rules_primary": "All of them."})]
    assert stored(production, "status", "production_status", "result", "title", "details") == expected


def test_an_end_without_details_takes_production_s(metadata, write, production):
    """A gatherer lets go of settled markets before production does."""
    follower = Follower("a", metadata, production, METADATA_COPIES)
    write(shown().row)
    follower.round()
    execute(metadata, "DELETE FROM markets")
    write(told())
    follower.round()
    expected = [("finalized", "no", "Will it rain?", {"rules_primary": "All of them."})]
    assert stored(production, "status", "result", "title", "details") == expected


def test_an_end_by_the_stream_does_not_undo_what_the_exchange_changed_later(metadata, write, production):
    later = json.loads(market_json(status="finalized", result="yes", **COMBO))
    later["updated_time"] = "2026-11-21T14:00:00Z"
    writer = CopyWriter(MARKETS, production)
    writer.write([read_market(json.dumps(later).encode(), NOW_US - SECOND_US).row])
    writer.close()
    write(told(result="no"))
    Follower("a", metadata, production, METADATA_COPIES).round()
    assert stored(production, "result") == [("yes",)]
