from app.simulator.websocket.framing import Opcode
from app.simulator.websocket.subscription import Outbox, Outgoing

GOODBYE = Outgoing(b"", opcode=Opcode.CLOSE)


def test_nothing_is_sent_behind_a_goodbye():
    """Nobody would read it, and the truth would call it sent."""
    outbox = Outbox(100, lambda outgoing: [outgoing])
    for outgoing in (Outgoing(b"before"), GOODBYE, Outgoing(b"behind")):
        outbox.put(outgoing)
    assert outbox.take(100, 1_000) == [Outgoing(b"before"), GOODBYE]
