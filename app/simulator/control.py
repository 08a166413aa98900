"""HTTP for tests and people: shows the state of the simulator and inflicts or lifts faults."""

import msgspec
from flask import Flask, Response, request

from app.simulator.director import Director
from app.simulator.fault_desk import FaultDesk
from app.simulator.faults import decode_fault
from app.simulator.rest.site import json_response
from app.simulator.runtime import Clock
from app.simulator.websocket.server import WebSocketServer
from app.simulator.websocket.session import SimSession


class ClockOrder(msgspec.Struct, forbid_unknown_fields=True):
    """The body that stops or restarts the simulated clock."""

    running: bool


def create_control(server: WebSocketServer, faults: FaultDesk, director: Director, clock: Clock) -> Flask:
    """Return the control application, which is served on a port of its own."""
    application = Flask("kalshi-simulator-control")
    application.config["PROPAGATE_EXCEPTIONS"] = True

    @application.get("/state")
    def state() -> Response:
        """Return the state.

        Everything that happened is sent once `waiting_frames` of all connections are 0 and `told_until_us` no longer
        changes.
        """
        return json_response(
            msgspec.json.encode(
                {
                    "now_us": clock.now_us(),
                    "is_running": clock.is_running,
                    "told_until_us": director.told_until_us,
                    "told_changes": director.told_changes,
                    "is_in_maintenance": faults.is_in_maintenance,
                    "refused_handshakes": server.refused_handshakes,
                    "connections": [_connection(session) for session in server.sessions.values()],
                    "faults": faults.active(),
                }
            )
        )

    @application.get("/connections/<int:ordinal>/markets")
    def markets(ordinal: int) -> Response:
        """Return the numbers of the markets whose books a connection follows."""
        session = server.sessions.get(ordinal)
        books = session.subscription_to("orderbook_delta") if session else None
        return json_response(msgspec.json.encode(list(books.markets) if books else []))

    @application.post("/faults")
    def inflict() -> Response:
        inflicted = faults.inflict(decode_fault(request.get_data()))
        response = json_response(msgspec.json.encode(inflicted._asdict()))
        response.status_code = 201
        return response

    @application.delete("/faults/<int:fault_id>")
    def lift(fault_id: int) -> tuple[str, int]:
        return "", 204 if faults.lift(fault_id) else 404

    @application.post("/clock")
    def run_clock() -> tuple[str, int]:
        order = msgspec.json.decode(request.get_data(), type=ClockOrder)
        if order.running:
            clock.go_on()
        else:
            clock.stop()
        return "", 204

    @application.errorhandler(msgspec.DecodeError)
    def refuse(error: msgspec.DecodeError) -> Response:
        response = json_response(msgspec.json.encode({"message": str(error)}))
        response.status_code = 400
        return response

    return application


def _connection(session: SimSession) -> dict[str, object]:
    return {
        "ordinal": session.ordinal,
        "key_id": session.key_id,
        "name": session.name,
        "sent_frames": session.sent_frames,
        "waiting_frames": len(session.outbox),
        "waiting_snapshots": session.backlog.waiting_markets,
        "tampered_frames": {count.fault_id: count.taken for count in session.tampering.counts()},
        "subscriptions": [
            {"sid": each.sid, "channel": each.channel, "markets": len(each.markets), "seq": each.seq}
            for each in session.subscriptions.values()
        ],
    }
