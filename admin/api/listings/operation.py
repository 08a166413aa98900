"""Lists about the platform's own work, and about what operators ordered."""

from marshmallow import fields

from admin.api.paging import (
    Key,
    ListColumn,
    Listing,
    between,
    boolean,
    equal,
    moment,
    number,
    one_of,
    printable,
    shown,
    shown_number,
    shown_object,
    shown_time,
    whether,
)
from app.runtime.jobs import KINDS
from app.runtime.secrets import TokenRole

JOB_STATES = ("queued", "running", "done", "failed", "cancelled")

CURSORS = Listing(
    path="/cursors",
    name="cursors",
    summary="Position up to which each gatherer's tables are merged.",
    columns=(
        *(shown("gatherer"), shown("table_name"), shown_number("shard"), shown_number("shards")),
        *(shown("system_identifier", "system_identifier::TEXT"), shown("ingest_id", "ingest_id::TEXT")),
        *(shown_time("received_through"), shown_number("rows_read"), shown_number("restarts")),
        *(shown_time("updated_at"), shown_time("failing_since"), shown("failure")),
        ListColumn("idle_seconds", "extract(epoch FROM now() - updated_at)", fields.Float()),
    ),
    source="sync_cursors",
    keys=(Key("gatherer", printable), Key("table_name", printable), Key("shard", number)),
    filters={**equal("gatherer", table="table_name"), **whether(failing="failing_since IS NOT NULL")},
)
EXPORTS = Listing(
    path="/exports",
    name="exports",
    summary="Hours in the lake, and whether they were verified.",
    columns=(
        *(shown_time("hour"), shown("table_name"), shown_number("row_count"), shown("manifest")),
        *(shown_time("exported_at"), shown_time("verified_at"), shown("lake_id", "lake_id::TEXT")),
        *(shown_number("failures"), shown("failure"), shown_time("retry_at")),
    ),
    source="exports",
    keys=(Key("hour", moment), Key("table_name", printable), Key("lake_id", printable)),
    filters={
        **equal(table="table_name"),
        **whether(verified="verified_at IS NOT NULL", failing="failure IS NOT NULL"),
        **between("hour"),
    },
    newest_first=True,
)
DIFFERING_TRADES = Listing(
    path="/differing-trades",
    name="differing_trades",
    summary="Trades of which copies differ in price, size or side: every version, the one that is kept among them.",
    columns=(
        *(shown("trade_id"), shown("ticker"), shown_time("exchange_ts"), shown_number("yes_price_e6")),
        *(shown_number("size_e2"), ListColumn("taker_yes", "taker_yes", fields.Boolean())),
        *(ListColumn("from_rest", "from_rest", fields.Boolean()), shown_time("found_at")),
    ),
    source="differing_trades",
    keys=(
        *(Key("found_at", moment), Key("trade_id", printable), Key("yes_price_e6", number), Key("size_e2", number)),
        Key("taker_yes", boolean),
    ),
    filters=equal("trade_id", "ticker"),
    newest_first=True,
)
QUARANTINE = Listing(
    path="/quarantine",
    name="quarantine",
    summary="Rows in production's quarantine.",
    columns=(
        *(shown_number("quarantine_id"), shown_time("quarantined_at"), shown("table_name"), shown("reason")),
        shown_number("payload_bytes", "octet_length(payload)"),
    ),
    source="quarantine",
    keys=(Key("quarantine_id", number),),
    filters=equal(table="table_name"),
    newest_first=True,
)
JOBS = Listing(
    path="/jobs",
    name="jobs",
    summary="Jobs.",
    columns=(
        *(shown_number("job_id"), shown("kind"), shown("state"), shown_object("parameters"), shown("asked_by")),
        *(shown_time("asked_at"), shown("claimed_by"), shown_time("claimed_at"), shown_time("ended_at")),
        shown("outcome"),
    ),
    source="jobs",
    keys=(Key("job_id", number),),
    filters={**one_of("kind", *KINDS), **one_of("state", *JOB_STATES)},
    newest_first=True,
)
CHANGES = Listing(
    path="/changes",
    name="changes",
    summary="Changes made through this service, and who made them.",
    columns=(
        *(shown_number("change_id"), shown_time("changed_at"), shown("who"), shown("address"), shown("action")),
        *(shown_object("parameters"), ListColumn("outcome", "outcome", fields.Raw())),
    ),
    source="admin_changes",
    keys=(Key("change_id", number),),
    filters=equal("who", "action"),
    newest_first=True,
    role=TokenRole.OPERATE,
)
