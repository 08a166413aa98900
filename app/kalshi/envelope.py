import msgspec

from app.kalshi.wire_types import Milliseconds, Sequence, SubscriptionId


class Envelope(msgspec.Struct, tag_field="type", frozen=True, kw_only=True, gc=False):
    sid: SubscriptionId | None = None
    seq: Sequence | None = None
    id: int | None = None  # of the command that it answers
    sending_ts_ms: Milliseconds | None = None
