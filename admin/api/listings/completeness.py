"""Lists about the completeness of the record, and about the evidence for it."""

from marshmallow import fields

from admin.api.paging import (
    Filter,
    Key,
    ListColumn,
    Listing,
    asked_time,
    between,
    equal,
    moment,
    number,
    one_of,
    printable,
    shown,
    shown_flag,
    shown_number,
    shown_time,
    whether,
)

HOURS = between("hour")
PAIRS = {
    "holes": "(SELECT coalesce(json_agg(json_build_array(lower(i), upper(i))), '[]') FROM unnest(holes) AS i)",
    "repaired": "(SELECT coalesce(json_agg(json_build_array(lower(i), upper(i))), '[]') FROM unnest(repaired) AS i)",
}


def shown_intervals(name: str) -> ListColumn:
    """Return a column of pairs of a beginning and an end; null if the interval has no beginning or end."""
    return ListColumn(name, PAIRS[name], fields.List(fields.List(fields.DateTime(allow_none=True)), allow_none=True))


def shown_names(name: str) -> ListColumn:
    return ListColumn(name, name, fields.List(fields.String()))


COVERAGE_HOURS = Listing(
    path="/coverage/hours",
    name="hours",
    summary="Up to when completeness is known, hour by hour.",
    columns=(
        *(shown_time("hour"), shown_time("known_until"), shown_time("judged_at"), shown_flag("is_settled")),
        shown_number("holes", "(SELECT count(*) FROM coverage AS c WHERE c.hour = h.hour AND c.state = 'hole')"),
        shown_number("repaired", "(SELECT count(*) FROM coverage AS c WHERE c.hour = h.hour AND c.state = 'repaired')"),
    ),
    source="coverage_known AS h",
    keys=(Key("hour", moment),),
    filters=HOURS,
    newest_first=True,
)
EXCEPTION_COLUMNS = (
    *(shown_time("hour"), shown("channel"), shown("ticker"), shown("state"), shown_intervals("holes")),
    *(shown_intervals("repaired"), shown_names("repaired_by")),
)
COVERAGE = Listing(
    path="/coverage",
    name="coverage",
    summary="Holes and repaired intervals. Everything else is complete, as far as its hour is known.",
    columns=EXCEPTION_COLUMNS,
    source="coverage",
    keys=(Key("hour", moment), Key("channel", printable), Key("ticker", printable)),
    filters={**HOURS, **one_of("state", "hole", "repaired"), **equal("channel", "ticker")},
    newest_first=True,
)
# Of the hour: up to where the exchange itself confirmed the book, by snapshots and quotes.
PROVEN_UNTIL = """
    CASE WHEN channel = 'orderbook_delta' AND proven_until(ticker) > lower(period)
        THEN least(proven_until(ticker), upper(period)) END
"""
MARKET_COVERAGE = Listing(
    path="/markets/<ticker>/coverage",
    name="market_coverage",
    summary="State of every hour of a market, by channel: complete, pending, repaired, or where the holes are.",
    columns=(*EXCEPTION_COLUMNS, shown_time("known_until"), shown_time("proven_until", PROVEN_UNTIL)),
    source="readable.coverage",
    keys=(Key("hour", moment), Key("channel", printable)),
    filters={**HOURS, **equal("ticker")},
    newest_first=True,
    envelope="coverage",
)
GAPS = Listing(
    path="/gaps",
    name="gaps",
    summary="Intervals in which a gatherer's socket received nothing, or not everything. Others may have received it.",
    columns=(
        *(shown_time("started_at"), shown_time("ended_at"), shown("gatherer"), shown("run_id", "run_id::TEXT")),
        *(shown_number("number"), shown_number("conn"), shown("channel"), shown("cause")),
        *(shown_number("markets"), shown_number("missing")),
    ),
    source="gatherer_gaps",
    keys=(Key("started_at", moment), Key("run_id", printable), Key("number", number), Key("gatherer", printable)),
    filters={
        **equal("gatherer", "cause", "channel"),
        "from": Filter("coalesce(ended_at, 'infinity') >= %(from)s", asked_time()),
        "to": Filter("started_at < %(to)s", asked_time()),
    },
    newest_first=True,
)
LOSSES = Listing(
    path="/losses",
    name="losses",
    summary="Rows that were lost when production was restored: their gatherer had already dropped them.",
    columns=(
        *(shown_number("loss_id"), shown_time("noticed_at"), shown("gatherer"), shown("table_name")),
        *(shown_time("started_at"), shown_time("ended_at")),
    ),
    source="gatherer_losses",
    keys=(Key("loss_id", number),),
    filters=equal("gatherer", table="table_name"),
    newest_first=True,
)
RUNS = Listing(
    path="/runs",
    name="runs",
    summary="Runs of the gatherers' processes, and up to when their rows are in production.",
    columns=(
        *(shown_time("started_at"), shown("gatherer"), shown("run_id", "run_id::TEXT"), shown_time("recorded_until")),
        *(shown_time("delivered_until"), shown_time("ended_at"), shown_time("trusted_until")),
    ),
    source="gatherer_runs",
    keys=(Key("started_at", moment), Key("gatherer", printable)),
    filters=equal("gatherer"),
    newest_first=True,
)
REPAIRS = Listing(
    path="/repairs",
    name="repairs",
    summary="Trades fetched afterwards, because no gatherer had them.",
    columns=(
        *(shown_number("repair_id"), shown_time("repaired_at"), shown("ticker"), shown_time("started_at")),
        *(shown_time("ended_at"), shown("reason"), shown_number("trades"), shown_number("added")),
    ),
    source="trade_repairs",
    keys=(Key("repair_id", number),),
    newest_first=True,
)
FINDINGS = Listing(
    path="/findings",
    name="findings",
    summary="Books that could not be rebuilt exactly from the record.",
    columns=(
        *(
            shown_time("found_at"),
            shown("ticker"),
            shown_time("from_ts"),
            shown_time("to_ts"),
            shown_flag("is_lasting"),
        ),
        shown_time("quote_ts"),
        *(shown_flag("is_explained"), shown_number("differing_levels"), shown_time("resolved_at")),
        ListColumn("levels", "levels", fields.Raw()),
    ),
    source="audit_findings",
    keys=(Key("found_at", moment), Key("to_ts", moment), Key("from_ts", moment), Key("ticker", printable)),
    filters={**whether(open="resolved_at IS NULL", explained="is_explained"), **equal("ticker")},
    newest_first=True,
)
