"""The calls of a lake over HTTP: the same rows, books and errors as the lake's."""

import pytest

import kalshi_data as kd
from tests.kalshi_data.conftest import FOREIGN
from tests.kalshi_data.lakes import NOON, TICKER, at


@pytest.fixture
def connection(service):
    return kd.connect(*service)


@pytest.mark.parametrize("call", ["trades", "book_changes"])
@pytest.mark.parametrize("name", [None, "KXBTC", "KXBTC-26NOV22", TICKER, FOREIGN, "KXUNLISTED-1"])
@pytest.mark.parametrize("end", [None, at(3)])
def test_rows_are_the_lake_s(call, name, end, lake, connection):
    ours, theirs = (getattr(each, call)(name, end=end).to_arrow() for each in (connection, lake))
    assert ours.schema == theirs.schema
    assert ours.to_pylist() == theirs.to_pylist()


def test_markets_are_the_lake_s(lake, connection):
    for query in ({}, {"series": "KXBTC"}, {"event": "KXBTC-26NOV21"}, {"status": "active"}):
        assert connection.markets(**query).to_arrow().equals(lake.markets(**query).to_arrow())


def test_books_over_time_are_the_lake_s(lake, connection):
    for period in ((NOON, at(22)), (at(10.3), at(11)), (None, None)):
        ours, theirs = (
            [
                (book.at, book.based_on, book.changes, book.levels, book.state, book.hole, book.reset_by)
                for book in found
            ]
            for found in (each.replay(TICKER, *period, every="500ms") for each in (connection, lake))
        )
        assert ours == theirs


def test_a_service_that_does_not_answer_is_an_error_that_says_so(service):
    with pytest.raises(kd.LakeError, match="does not answer"):
        kd.connect("http://127.0.0.1:1").trades().to_arrow()
    address, token = service
    with pytest.raises(kd.LakeError, match="answers 404"):
        kd.connect(f"{address}/nowhere", token).trades().to_arrow()


@pytest.mark.parametrize("token", [None, "wrong"])
def test_without_its_token_a_service_refuses_and_the_error_says_what_to_pass(token, service):
    with pytest.raises(kd.LakeError, match=r"refuses this(.|\n)*pass a token"):
        kd.connect(service[0], token).trades().to_arrow()


def test_more_rows_than_an_answer_has_are_an_error_and_no_shorter_table(connection, monkeypatch):
    rows = connection.trades().to_arrow().num_rows
    monkeypatch.setattr("kalshi_data.remote.MOST_ROWS", rows)
    with pytest.raises(kd.LakeError, match=f"{rows} rows or more"):
        connection.trades().to_arrow()
    assert connection.trades(FOREIGN).to_arrow().num_rows == 2
