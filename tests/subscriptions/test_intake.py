import msgspec

from app.kalshi.socket import Batch
from app.subscriptions.intake import Intake
from app.subscriptions.journal import Journal
from app.subscriptions.roles import role_of
from app.subscriptions.whole_exchange import WholeExchange

LIFECYCLE_CONN = 5
SENT_MS = 1_700_000_000_000


def test_an_announcement_tells_how_late_its_socket_is_read():
    role = role_of(LIFECYCLE_CONN)
    intake = Intake(LIFECYCLE_CONN, role, WholeExchange(Journal(1, LIFECYCLE_CONN, iter(())), role))
    body = {"event_type": "determined", "market_ticker": "A"}
    frame = msgspec.json.encode({"type": "market_lifecycle_v2", "sid": 1, "sending_ts_ms": SENT_MS, "msg": body})
    taken = intake.take(Batch([frame], SENT_MS * 1_000 + 30_000_000))
    assert len(taken.lifecycle) == 1
    assert intake.age_us == 30_000_000
