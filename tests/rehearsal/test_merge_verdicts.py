"""What is made of two sockets that listened to the same."""

import json

from app.normalize.events import rest_trade_row
from app.rehearsal import merge_verdicts as judge
from tests.normalize.frames import NOON_MS, TRADE, delta, snapshot, trade
from tests.rehearsal.records import evidence_of, heard

NOON_US, SECOND_US = NOON_MS * 1_000, 1_000_000


def told(*changes):
    """Between two books that both sockets showed."""
    return heard(snapshot(clock=5), *changes, snapshot(clock=20))


def common(first, second):
    return judge.between_common_books(first, second)


def at(seconds, **changes):
    return trade(trade_id=f"t{seconds}", ts_ms=NOON_MS + seconds * 1_000, **changes)


def as_rest_tells(seconds, **changes):
    body = {**TRADE, "trade_id": f"t{seconds}", "ticker": TRADE["market_ticker"], **changes}
    body["created_time"] = f"2026-11-01T12:00:{seconds:02}.000123Z"
    return rest_trade_row(json.dumps(body).encode(), 0)


def test_the_same_changes_merge():
    changes = [delta(clock=7, seq=2), delta(clock=7, seq=3), delta(clock=9, seq=4)]
    assert evidence_of(judge.deltas_merge(*common(told(*changes), told(*changes)))) == ("yes", "3 of 3 changes")


def test_a_change_of_one_socket_alone_is_told():
    verdict = judge.deltas_merge(*common(told(delta(clock=7), delta(clock=9)), told(delta(clock=9))))
    assert evidence_of(verdict) == ("no", "1 of 2 changes; not KXTEST-26NOV01-T1 clock 7 by the first alone")


def test_what_came_before_the_later_first_book_is_not_compared():
    early = heard(snapshot(clock=5), delta(clock=7), snapshot(clock=8), delta(clock=9), snapshot(clock=20))
    late = heard(snapshot(clock=8), delta(clock=9), snapshot(clock=20))
    assert judge.deltas_merge(*common(early, late)).evidence == "1 of 1 changes"


def test_clocks_that_differ_between_sockets_are_noticed():
    verdict = judge.clocks_equal(judge.changes_of(told(delta(clock=7))), judge.changes_of(told(delta(clock=8))))
    assert evidence_of(verdict) == ("no", "0 of 1 changes that both sockets told; not KXTEST-26NOV01-T1: [7] and [8]")


def test_times_that_differ_between_sockets_are_noticed():
    first, second = told(delta(ts_ms=NOON_MS)), told(delta(ts_ms=NOON_MS + 1))
    assert judge.times_equal(judge.changes_of(first), judge.changes_of(second)).answer.value == "no"


def test_without_clocks_neither_times_nor_clocks_are_judged():
    changes = judge.changes_of(told(delta(clock=None)))
    assert judge.times_equal(changes, changes).answer.value == "not judged"
    assert judge.clocks_equal(changes, changes).answer.value == "not judged"


def test_another_order_is_noticed():
    one, other = delta(price_e6=10_000), delta(price_e6=20_000)
    assert judge.same_order(*common(told(one, other), told(other, one))).answer.value == "no"
    assert judge.same_order(*common(told(one, other), told(one, other))).answer.value == "yes"


def test_identical_changes_are_counted_on_both_sockets():
    twice, thrice = told(delta(), delta()), told(delta(), delta(), delta())
    assert judge.repetitions_equal(*common(twice, twice)).evidence == "1 of 1 repetitions"
    assert judge.repetitions_equal(*common(twice, thrice)).answer.value == "no"


def test_without_identical_changes_nothing_is_said_of_them():
    alone = told(delta())
    assert judge.repetitions_equal(*common(alone, alone)).answer.value == "not judged"


def test_trades_at_the_edges_of_listening_are_not_compared():
    pair = [heard(*map(at, range(10))), heard(*map(at, range(3, 13)))]
    verdicts = {each.assumption: each for each in judge.merge_verdicts([told(), told()], pair)}
    assert evidence_of(verdicts["trades_merge"]) == ("yes", "3 of 3 trades")


def test_a_trade_of_one_socket_alone_is_told():
    pair = [heard(*map(at, range(10))), heard(*(at(second) for second in range(10) if second != 5))]
    verdicts = {each.assumption: each for each in judge.merge_verdicts([told(), told()], pair)}
    assert verdicts["trades_merge"].answer.value == "no"
    assert "t5" in verdicts["trades_merge"].evidence
    assert verdicts["tickers_merge"].answer.value == "not judged"


def test_trades_of_rest_are_those_of_the_stream_though_rest_tells_them_finer():
    stream, rest = heard(*map(at, range(8))), [as_rest_tells(second) for second in range(8)]
    verdict = judge.trades_match_rest(stream, rest, NOON_US, NOON_US + 8 * SECOND_US)
    assert evidence_of(verdict) == ("yes", "5 of 5 trades")


def test_a_trade_that_rest_tells_in_other_terms_is_noticed():
    stream, rest = heard(*map(at, range(8))), [as_rest_tells(second) for second in range(8)]
    rest[4] = as_rest_tells(4, count_fp="1.00")
    verdict = judge.trades_match_rest(stream, rest, NOON_US, NOON_US + 8 * SECOND_US)
    assert evidence_of(verdict) == ("no", "4 of 6 trades; not t4 by the stream alone, t4 by REST alone")


def test_the_time_of_trades_is_told_by_the_trades():
    assert judge.streamed_trades_us(heard(at(2), at(1), at(5))) == (NOON_US + SECOND_US, NOON_US + 5 * SECOND_US)
    assert judge.streamed_trades_us(heard()) is None
