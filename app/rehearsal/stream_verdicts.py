"""Judge what single sockets received: answers, sequence numbers, clocks and times."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from app.kalshi.messages import LIFECYCLE_MESSAGES, NO_CLOCK, Ok, OrderbookDelta, OrderbookSnapshot, Ticker, Trade
from app.rehearsal.assumptions import Verdict, counted, fails, holds, not_judged
from app.rehearsal.socket_record import Heard, SocketRecord, of_type, rows_of
from app.storage.tables import ORDERBOOK_DELTAS
from app.subscriptions.commands import ANSWER_US

LATEST_FIRST_NUMBER = 2
TICKER, CLOCK = map(ORDERBOOK_DELTAS.column_names.index, ("ticker", "clock"))
MILLISECOND_US = 1_000
OFFSET_MAX_US = 1_000_000
END_OF_TIME_US = 1 << 62


def stream_verdicts(records: Sequence[SocketRecord], stale_seconds: float) -> list[Verdict]:
    heard = [each for record in records for each in record.heard]
    return [
        clock_offset(records),
        commands_answered(records),
        frames_fit(records),
        pings_come(records, stale_seconds),
        first_number(records),
        seq_counts(records),
        ok_numbers(records),
        clock_present(heard),
        clock_rises(records),
        times_present(heard),
        sending_times_present(heard),
    ]


def channels_known(asked: Sequence[tuple[SocketRecord, str]]) -> Verdict:
    refused = [f"{channel}: {_told(record)}" for record, channel in asked if channel not in record.sids]
    return counted("channels_known", "subscriptions", len(asked), refused)


def hears_all_markets(records: Sequence[SocketRecord], wanted: Iterable[str]) -> Verdict:
    """Judge by whether markets beyond the ones with requested books were seen."""
    found = {kind: set[str]().union(*(record.markets[kind] for record in records)) for kind in ("ticker", "trade")}
    text = ", ".join(f"{kind}s of {len(markets)} markets" for kind, markets in found.items())
    if not any(found.values()):
        return not_judged("hears_all_markets", "no tickers and no trades came")
    alone = [kind for kind, markets in found.items() if markets and markets <= set(wanted)]
    return fails("hears_all_markets", f"{text}; {alone} of nothing else") if alone else holds("hears_all_markets", text)


def clock_offset(records: Iterable[SocketRecord]) -> Verdict:
    """Judge by answers to commands: each was sent between our command and its arrival."""
    trips = [trip for record in records for trip in record.round_trips if trip.sending_ts_ms is not None]
    if not trips:
        return not_judged("clock_offset", "no answer tells when it was sent")
    sent = [(trip, (trip.sending_ts_ms or 0) * MILLISECOND_US) for trip in trips]
    # Every answer bounds the offset; its sending time is truncated to a millisecond.
    least_us = max(sent_us - trip.answered_us for trip, sent_us in sent)
    most_us = min(sent_us + MILLISECOND_US - trip.command.sent_us for trip, sent_us in sent)
    bounds = f"the exchange's clock is {least_us // 1_000} to {most_us // 1_000} ms ahead of this host's"
    is_off = least_us > OFFSET_MAX_US or most_us < -OFFSET_MAX_US
    return fails("clock_offset", bounds) if is_off else holds("clock_offset", bounds)


def commands_answered(records: Iterable[SocketRecord]) -> Verdict:
    trips = [trip for record in records for trip in record.round_trips]
    late = [trip.command.kind.value for trip in trips if trip.answered_us - trip.command.sent_us > ANSWER_US]
    missing = [each.kind.value for record in records for each in record.commands.overdue(END_OF_TIME_US)]
    return counted("commands_answered", "commands", len(trips) + len(missing), [*late, *missing])


def frames_fit(records: Sequence[SocketRecord]) -> Verdict:
    total = sum(record.counts.total() for record in records)
    unfit = [f"{each.type or 'a frame'} ({each.reason})" for record in records for each in record.unfit]
    return counted("frames_fit", "messages", total, unfit)


def pings_come(records: Sequence[SocketRecord], stale_seconds: float) -> Verdict:
    longest_seconds = max((record.quiet_seconds for record in records), default=0.0)
    pinged = f"{longest_seconds:.1f} s without one at most"
    if longest_seconds >= stale_seconds:
        return fails("pings_come", pinged)
    if not any(record.pings for record in records):
        return not_judged("pings_come", f"none came, in less than {stale_seconds} s")
    return holds("pings_come", pinged)


def first_number(records: Iterable[SocketRecord]) -> Verdict:
    firsts: dict[tuple[int, int], int] = {}
    for record in records:
        for sid, seq in _numbers(record):
            firsts.setdefault((record.conn, sid), seq)
    late = [f"{seq} on socket {conn}, sid {sid}" for (conn, sid), seq in firsts.items() if seq > LATEST_FIRST_NUMBER]
    verdict = counted("first_number", "subscriptions", len(firsts), late)
    return verdict._replace(evidence=f"{verdict.evidence}; they begin with {sorted(set(firsts.values()))}")


def seq_counts(records: Sequence[SocketRecord]) -> Verdict:
    numbered = sum(1 for record in records for _ in _numbers(record))
    jumps = [f"{gap.expected} but {gap.received} on sid {gap.sid}" for record in records for gap in record.gaps]
    return counted("seq_counts", "numbers", numbered, jumps)


def ok_numbers(records: Iterable[SocketRecord]) -> Verdict:
    found = [each for record in records for each in _oks(record)]
    verdict = counted("ok_numbers", "oks", len(found), [each for each in found if each])
    shown = sum(
        each.message.seq is not None for record in records for each in of_type(record.heard, Ok) if _is_of_one(each)
    )
    return verdict._replace(evidence=f"{verdict.evidence}; {shown} show a number")


def clock_present(heard: Iterable[Heard]) -> Verdict:
    rows = [each.message for each in of_type(heard, OrderbookDelta, OrderbookSnapshot)]
    without = [type(each).__name__ for each in rows if each.msg.clock == NO_CLOCK]  # type: ignore[union-attr]
    return counted("clock_present", "books and changes", len(rows), without)


def clock_rises(records: Sequence[SocketRecord]) -> Verdict:
    total, fallen = 0, []
    for record in records:
        latest: dict[str, int] = {}
        for row in rows_of(record.heard, OrderbookDelta):
            if row[CLOCK] == NO_CLOCK:
                continue
            total += 1
            if row[CLOCK] < latest.get(row[TICKER], NO_CLOCK):
                fallen.append(f"{row[TICKER]} from {latest[row[TICKER]]} to {row[CLOCK]}")
            latest[row[TICKER]] = row[CLOCK]
    return counted("clock_rises", "changes", total, fallen)


def times_present(heard: Iterable[Heard]) -> Verdict:
    messages = [each.message for each in of_type(heard, OrderbookDelta, Trade, Ticker)]
    without = [type(each).__name__ for each in messages if each.msg.ts_ms is None]  # type: ignore[union-attr]
    return counted("times_present", "messages", len(messages), without)


def sending_times_present(heard: Iterable[Heard]) -> Verdict:
    messages = [each.message for each in of_type(heard, OrderbookSnapshot, *LIFECYCLE_MESSAGES)]
    without = [type(each).__name__ for each in messages if getattr(each, "sending_ts_ms", None) is None]
    return counted("sending_times_present", "messages", len(messages), without)


def _numbers(record: SocketRecord) -> Iterator[tuple[int, int]]:
    for each in record.heard:
        message = each.message
        if message.sid is not None and message.seq is not None:
            yield message.sid, message.seq


def _oks(record: SocketRecord) -> Iterator[str]:
    """Yield, for each answer to an update, what is wrong with its sequence number; empty if it is right."""
    by_sid: defaultdict[int, list[Heard]] = defaultdict(list)
    for each in record.heard:
        if each.message.sid is not None:
            by_sid[each.message.sid].append(each)
    for said in by_sid.values():
        numbers = [each.message.seq for each in said]
        for position, each in enumerate(said):
            if _is_of_one(each):
                yield _wrong_number(numbers, position)


def _wrong_number(numbers: Sequence[int | None], position: int) -> str:
    before = next((number for number in reversed(numbers[:position]) if number is not None), None)
    after = next((number for number in numbers[position + 1 :] if number is not None), None)
    shown = numbers[position]
    if shown is None:
        return "" if before is None or after in {None, before + 1} else f"{before}, an ok, {after}"
    is_right = before in {None, shown - 1} and after in {None, shown + 1}
    return "" if is_right else f"{before}, an ok with {shown}, {after}"


def _is_of_one(each: Heard) -> bool:
    return isinstance(each.message, Ok) and each.message.sid is not None


def _told(record: SocketRecord) -> str:
    said = [f"error {each.msg.code} {each.msg.msg}" for each in record.errors]
    return "; ".join(said) or record.ended or "no answer"
