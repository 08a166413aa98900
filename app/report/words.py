"""A quality report for people: sentences, and tables, as text or as a page of HTML.

In: a `QualityReport`. Out: text. Shares are rounded down and lengths up: nothing reads better than it is.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from html import escape
from typing import NamedTuple

from app.coverage.evidence import BOOKS, COMBO_LIFECYCLE, LIFECYCLE, TICKERS, TRADES
from app.report.days import QualityReport
from app.report.figures import TARGET_SHARE, ChannelFigures, PeriodFigures, at_most_ms
from app.status.verdict import age_words

CHANNEL_NAMES = {
    BOOKS: "Order books",
    TRADES: "Trades",
    TICKERS: "Tickers",
    LIFECYCLE: "Lifecycle",
    COMBO_LIFECYCLE: "Lifecycle of combos",
}
SLIGHT_SHARE = 0.999
SHARES = (0.5, 0.95, 0.99)
NUMBERS = ("No", "One", "Two", "Three", "Four", "Five", "Six")
NO_FIGURE = "-"


class ReportTable(NamedTuple):
    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""


def per_cent(share: float) -> str:
    """Return the share in per cent, rounded down: only all of it is 100."""
    decimals = 3 if share >= SLIGHT_SHARE else 1
    shown = math.floor(share * 100 * 10**decimals + 1e-9) / 10**decimals
    if share < 1 and shown >= 100:
        shown = 99.999
    return "100" if shown >= 100 else f"{shown:.{decimals}f}"


def title_of(report: QualityReport) -> str:
    first, last = report.days[0].since, report.days[-1].since
    return f"Quality of the record, {first:%-d %B %Y}" + (f" to {last:%-d %B %Y}" if last != first else "")


def sentences(report: QualityReport) -> Iterator[str]:
    """Yield the whole report in a few sentences."""
    total = report.total
    if not total.known_seconds:
        yield "Nothing of this time is known: the deduplicator has not judged it."
        return
    yield from (_recorded(each) for each in total.channels if each.share is not None)
    yield from _of_books(total.channel(BOOKS), total.openings)
    yield from _of_gatherers(total)
    count = total.audit.counted_as_outages
    found = f"{count:,}, counted as outages" if count else "none"
    yield f"Differences between recorded books and the exchange's that nothing explains: {found}."
    if total.pending_seconds:
        yield f"Of {age_words(total.pending_seconds)} nothing is claimed: it is not judged yet."
    if total.books_known_seconds < total.known_seconds:
        hidden = age_words(total.known_seconds - total.books_known_seconds)
        yield f"Of the order books of {hidden} nothing is known: their evidence is deleted, and no figures were kept."


def _recorded(each: ChannelFigures) -> str:
    share = each.share or 0.0
    of_what = "market-seconds are" if each.channel == BOOKS else "the time is"
    parts = [f"{CHANNEL_NAMES.get(each.channel, each.channel)}: {per_cent(share)} % of {of_what} recorded"]
    parts.append(f"the target of {per_cent(TARGET_SHARE)} % is {'met' if share >= TARGET_SHARE else 'missed'}")
    if each.repaired_seconds:
        parts.append(f"{age_words(each.repaired_seconds)} of it were fetched afterwards")
    return "; ".join(parts) + "."


def _of_books(books: ChannelFigures, openings: Mapping[int, int]) -> Iterator[str]:
    if books.share is None:
        return
    if books.outage_seconds:
        yield f"Outages cost {age_words(books.outage_seconds)} of order books, added up over markets."
    if openings:
        slowest = age_words((at_most_ms(openings, 0.99) or 0.0) / 1000)
        yield (
            f"Markets that opened: {sum(openings.values()):,}; of 100 of them, 99 had their first book within "
            f"{slowest}. Together they lack {age_words(books.opening_seconds)}."
        )
    if books.proven_share is not None:
        share = per_cent(books.proven_share)
        yield f"The exchange itself confirmed {share} % of market-seconds, by its snapshots and quotes."


def _of_gatherers(total: PeriodFigures) -> Iterator[str]:
    hours = total.hours_needed
    if hours:
        parts = [
            f"{_number(count)} {'was enough' if count == 1 else 'were needed'} in {_hours(number)}"
            for count, number in sorted(hours.items())
        ]
        yield f"Gatherers: {', '.join(parts).lower()}."
    for each in total.gatherers:
        if each.channel == BOOKS and each.missed_seconds:
            yield f"{each.gatherer} alone would have missed {age_words(each.missed_seconds)} of order books."


def _hours(number: int) -> str:
    return "1 hour" if number == 1 else f"{number:,} hours"


def _number(count: int) -> str:
    return NUMBERS[count] if count < len(NUMBERS) else str(count)


def tables(report: QualityReport) -> list[ReportTable]:
    """Return everything that the report tells, as tables of text."""
    total = report.total
    return [_channels(total), _days(report), _gatherers(total), _ages(total), _audit(total), _outages(total)]


def _channels(total: PeriodFigures) -> ReportTable:
    return ReportTable(
        "Channels",
        ("Channel", "Recorded", "Target", "Outages", "Openings", "Repaired", "Proven"),
        [_channel_row(each) for each in total.channels],
        "Seconds of order books are added up over markets. Repaired time is recorded. Proven: recorded, and confirmed "
        "by the exchange's own snapshots and quotes.",
    )


def _days(report: QualityReport) -> ReportTable:
    channels = [each.channel for each in report.total.channels]
    return ReportTable(
        "Days",
        ("Day", "Known", *(CHANNEL_NAMES.get(channel, channel) for channel in channels)),
        [_day_row(day, channels) for day in report.days],
        "Shares of what is known of the day.",
    )


def _gatherers(total: PeriodFigures) -> ReportTable:
    return ReportTable(
        "Gatherers",
        ("Gatherer", "Channel", "Received", "Alone it would have missed", "Only it received"),
        [
            (
                each.gatherer,
                CHANNEL_NAMES.get(each.channel, each.channel),
                _share(each.share),
                _length(each.missed_seconds, "nothing"),
                _length(each.alone_seconds),
            )
            for each in total.gatherers
        ],
        "By the gatherers' journals.",
    )


def _ages(total: PeriodFigures) -> ReportTable:
    return ReportTable(
        "Ages",
        ("Rows", "From … to", "Sampled", "p50", "p95", "p99"),
        [
            (each.table, each.stage, f"{each.rows:,}", *(_age(each.at_most_ms(share)) for share in SHARES))
            for each in total.ages
        ],
        "Upper bounds, of a sample: up to a hundred rows of each minute. From the exchange by the gatherer's clock.",
    )


def _audit(total: PeriodFigures) -> ReportTable:
    audit = total.audit
    return ReportTable(
        "Audit",
        ("Books that differed from the exchange's", "Findings"),
        [
            ("explained by a hole", f"{audit.explained:,}"),
            ("resolved by rows that came later", f"{audit.resolved:,}"),
            (
                "unexplained, counted as outages",
                f"{audit.counted_as_outages:,}" if audit.counted_as_outages else "none",
            ),
        ],
    )


def _outages(total: PeriodFigures) -> ReportTable:
    return ReportTable(
        "Longest outages",
        ("Channel", "From", "For", "Markets", "Longest of", "Causes"),
        [
            (
                CHANNEL_NAMES.get(hole.channel, hole.channel),
                f"{hole.since:%Y-%m-%d %H:%M:%S}",
                age_words(hole.seconds),
                f"{hole.markets:,}" if hole.markets else "all",
                hole.ticker or NO_FIGURE,
                "; ".join(hole.causes),
            )
            for hole in total.holes
        ],
        "Markets that lack about the same time are one outage.",
    )


def _channel_row(each: ChannelFigures) -> tuple[str, ...]:
    lengths = (each.outage_seconds, each.opening_seconds, each.repaired_seconds)
    return (
        CHANNEL_NAMES.get(each.channel, each.channel),
        _share(each.share),
        f"{per_cent(TARGET_SHARE)} %",
        *map(_length, lengths),
        _share(each.proven_share),
    )


def _day_row(day: PeriodFigures, channels: Sequence[str]) -> tuple[str, ...]:
    shares = [day.channel(channel).share for channel in channels]
    known = per_cent(day.known_seconds / (day.until - day.since).total_seconds())
    return f"{day.since:%Y-%m-%d}", f"{known} %", *map(_share, shares)


def _share(share: float | None) -> str:
    return NO_FIGURE if share is None else f"{per_cent(share)} %"


def _length(seconds: float, nothing: str = NO_FIGURE) -> str:
    return age_words(seconds) if seconds > 0 else nothing


def _age(milliseconds: float | None) -> str:
    if milliseconds is None:
        return NO_FIGURE
    return f"{math.ceil(milliseconds):,} ms"


def as_text(report: QualityReport) -> str:
    parts = [title_of(report), *sentences(report)]
    for table in tables(report):
        if table.rows:
            parts += ["", table.title, *_aligned(table)]
    return "\n".join(parts)


def _aligned(table: ReportTable) -> Iterator[str]:
    rows = [table.columns, *table.rows]
    widths = [max(len(row[at]) for row in rows) for at in range(len(table.columns))]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:64rem;margin:2rem auto;padding:0 1rem}"
    "table{border-collapse:collapse;display:block;overflow-x:auto}"
    "th,td{padding:.25rem .75rem;text-align:left;border-bottom:1px solid #8884;vertical-align:top}"
    "small{opacity:.8}"
)


def as_html(report: QualityReport, made_at: datetime) -> str:
    """Return the report as a page that needs no other file."""
    title = escape(title_of(report))
    facts = "".join(f"<li>{escape(sentence)}</li>\n" for sentence in sentences(report))
    parts = "".join(_html_table(table) for table in tables(report) if table.rows)
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title>'
    made = f"<p><small>Made at {made_at:%Y-%m-%d %H:%M} UTC by kalshi-data report. All times are in UTC.</small></p>"
    return (
        f'<!doctype html>\n<html lang="en">\n<head>{head}<style>{STYLE}</style></head>\n<body>\n<h1>{title}</h1>\n'
        f"<ul>\n{facts}</ul>\n{parts}{made}\n</body>\n</html>"
    )


def _html_table(table: ReportTable) -> str:
    columns = "".join(f'<th scope="col">{escape(name)}</th>' for name in table.columns)
    rows = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>\n" for row in table.rows)
    note = f"<p><small>{escape(table.note)}</small></p>\n" if table.note else ""
    return f"<h2>{escape(table.title)}</h2>\n<table>\n<tr>{columns}</tr>\n{rows}</table>\n{note}"
