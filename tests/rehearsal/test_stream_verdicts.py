"""What is made of the numbers, clocks and times of single sockets."""

import json

import pytest

from app.rehearsal import stream_verdicts as judge
from app.rehearsal.socket_record import RoundTrip
from app.subscriptions.commands import Command, CommandKind
from tests.normalize.frames import NOON_MS, delta, frame, lifecycle, snapshot, ticker, trade
from tests.rehearsal.records import evidence_of, heard, recorded

NOON_US = NOON_MS * 1_000


def ok(seq, sid=2):
    said = {"type": "ok", "id": 9, "sid": sid, "msg": {"market_tickers": []}}
    return json.dumps(said if seq is None else {**said, "seq": seq}).encode()


def test_consecutive_numbers_hold():
    record = recorded(snapshot(seq=1), delta(seq=2), delta(seq=3))
    assert evidence_of(judge.seq_counts([record])) == ("yes", "3 of 3 numbers")


def test_a_jump_does_not():
    record = recorded(snapshot(seq=1), delta(seq=2), delta(seq=4))
    assert evidence_of(judge.seq_counts([record])) == ("no", "2 of 3 numbers; not 3 but 4 on sid 2")


def test_without_numbers_nothing_is_said_of_them():
    assert judge.seq_counts([recorded(ticker())]).answer.value == "not judged"


@pytest.mark.parametrize(
    ("first", "answer"), [(1, "yes"), (2, "yes"), (3, "no")], ids=["first", "after a hidden one", "later"]
)
def test_the_first_number_may_be_the_second(first, answer):
    verdict = judge.first_number([recorded(snapshot(seq=first))])
    assert verdict.answer.value == answer
    assert verdict.evidence.endswith(f"they begin with [{first}]")


@pytest.mark.parametrize(
    ("numbers", "answer"),
    [
        ((1, 2, 3), "yes"),
        ((1, None, 2), "yes"),
        ((1, None, 3), "no"),
        ((1, 1, 2), "no"),
        ((1, 2, 4), "no"),
    ],
    ids=["shown and counted", "not shown and not counted", "counted and not shown", "not counted", "counted twice"],
)
def test_an_ok_counts_only_if_it_shows_its_number(numbers, answer):
    before, shown, after = numbers
    verdict = judge.ok_numbers([recorded(snapshot(seq=before), ok(shown), delta(seq=after))])
    assert verdict.answer.value == answer


def test_a_change_without_a_clock_is_noticed():
    verdict = judge.clock_present(heard(snapshot(), delta(seq=2), delta(seq=3, clock=None)))
    assert evidence_of(verdict) == ("no", "2 of 3 books and changes; not OrderbookDelta")


def test_a_clock_that_goes_back_is_told_with_its_market():
    record = recorded(delta(seq=1, clock=9), delta(seq=2, clock=7))
    assert evidence_of(judge.clock_rises([record])) == ("no", "1 of 2 changes; not KXTEST-26NOV01-T1 from 9 to 7")


def test_without_clocks_nothing_is_said_of_their_order():
    assert judge.clock_rises([recorded(delta(clock=None))]).answer.value == "not judged"


def test_what_is_wrong_alike_is_told_once():
    verdict = judge.clock_present(heard(delta(clock=None), delta(clock=None)))
    assert verdict.evidence == "0 of 2 books and changes; not OrderbookDelta"


def test_changes_of_one_clock_do_not_go_back():
    assert judge.clock_rises([recorded(delta(seq=1), delta(seq=2))]).answer.value == "yes"


def test_messages_without_their_time_are_counted():
    said = heard(delta(ts_ms=None), trade(), ticker(), ticker(ts_ms=None))
    assert judge.times_present(said).evidence == "2 of 4 messages; not OrderbookDelta, Ticker"


def test_books_and_announcements_need_the_time_of_sending():
    said = heard(snapshot(sending_ts_ms=None), lifecycle(market_ticker="A", event_type="created"))
    assert evidence_of(judge.sending_times_present(said)) == ("no", "1 of 2 messages; not OrderbookSnapshot")


def test_what_does_not_fit_is_told_with_the_reason():
    verdict = judge.frames_fit([recorded(frame("orderbook_delta", {"market_ticker": "A"}), snapshot(seq=2))])
    assert verdict.answer.value == "no"
    assert "orderbook_delta (Object missing required field `side`" in verdict.evidence


def test_an_unknown_field_does_no_harm_and_is_listed():
    record = recorded(trade(fee_fp="1.00"))
    assert judge.frames_fit([record]).answer.value == "yes"
    assert dict(record.unknown_fields) == {"trade": {"msg.fee_fp"}}


@pytest.mark.parametrize(
    ("ahead_ms", "answer"), [(0, "yes"), (900, "yes"), (-900, "yes"), (2_000, "no"), (-2_000, "no")]
)
def test_clocks_are_compared_by_answers(ahead_ms, answer):
    record = recorded()
    command = Command(CommandKind.LIST, NOON_US, [])
    record.round_trips.append(RoundTrip(command, NOON_US + 40_000, NOON_MS + 20 + ahead_ms))
    verdict = judge.clock_offset([record])
    assert evidence_of(verdict) == (
        answer,
        f"the exchange's clock is {ahead_ms - 20} to {ahead_ms + 21} ms ahead of this host's",
    )


def test_a_command_without_an_answer_is_counted():
    record = recorded()
    record.commands.subscribe("ticker", NOON_US)
    assert evidence_of(judge.commands_answered([record])) == ("no", "0 of 1 commands; not subscribe")


def test_a_channel_that_is_refused_is_told_with_the_error():
    error = json.dumps({"type": "error", "id": 1, "msg": {"code": 8, "msg": "Unknown channel name"}}).encode()
    verdict = judge.channels_known([(recorded(error), "ticker")])
    assert evidence_of(verdict) == ("no", "0 of 1 subscriptions; not ticker: error 8 Unknown channel name")


@pytest.mark.parametrize(("markets", "answer"), [("AB", "yes"), ("A", "no")])
def test_others_than_the_wanted_markets_are_heard_of(markets, answer):
    record = recorded(*(trade(market_ticker=market) for market in markets))
    assert judge.hears_all_markets([record], ["A"]).answer.value == answer


@pytest.mark.parametrize(("quiet_seconds", "pings", "answer"), [(10, 3, "yes"), (31, 3, "no"), (10, 0, "not judged")])
def test_pings_come_before_a_socket_counts_as_stale(quiet_seconds, pings, answer):
    record = recorded()
    record.quiet_seconds, record.pings = quiet_seconds, pings
    assert judge.pings_come([record], 30).answer.value == answer
