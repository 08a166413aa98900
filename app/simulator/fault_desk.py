"""Inflicts faults on the running simulator, and lifts them.

Frame faults are handed to each selected connection, present and future; connection faults strike once; service faults
last for a time, after which the director lifts them.
"""

import itertools
from collections.abc import Mapping
from typing import NamedTuple

from app.simulator.director import Director
from app.simulator.faults import (
    AnyFault,
    AnyFrameFault,
    ConnectionFault,
    Cut,
    FrameFault,
    HalfOpen,
    Halt,
    Maintenance,
    Refuse,
    Reset,
    RestDelay,
    ServiceFault,
    SimClose,
    SimRestError,
    Stall,
    SubscriptionError,
)
from app.simulator.market.exchange import Exchange
from app.simulator.websocket.commands import Code
from app.simulator.websocket.session import SimSession


class Inflicted(NamedTuple):
    fault_id: int
    connections: list[int]  # the connections present then; a frame fault also waits for later ones


class FaultDesk:
    """The faults in force. Connections, handshakes and REST requests query it."""

    def __init__(self, sessions: Mapping[int, SimSession], exchange: Exchange, director: Director) -> None:
        self._sessions = sessions
        self._exchange = exchange
        self._director = director
        self._numbers = itertools.count(1)
        self._frame_faults: dict[int, AnyFrameFault] = {}
        self._refusals: dict[int, int] = {}
        self._rest_faults: dict[int, SimRestError | RestDelay] = {}
        self.is_in_maintenance = False
        self.is_trading = True

    def inflict(self, fault: AnyFault) -> Inflicted:
        """Begin a fault. Return its id and the connections that it struck."""
        fault_id = next(self._numbers)
        selected = [each for each in self._sessions.values() if fault.selects(each.ordinal, each.key_id)]
        if isinstance(fault, FrameFault):
            self._frame_faults[fault_id] = fault
            for session in selected:
                self._tamper(session, fault_id, fault)
        elif isinstance(fault, ServiceFault):
            self._apply_to_service(fault_id, fault)
        else:
            for session in selected:
                self._apply_to_session(session, fault)
        return Inflicted(fault_id, [session.ordinal for session in selected])

    def lift(self, fault_id: int) -> bool:
        """End a fault. Return False if it does not exist or is already over."""
        for session in self._sessions.values():
            session.tampering.lift(fault_id)
        lifted = [faults.pop(fault_id, None) for faults in (self._frame_faults, self._refusals, self._rest_faults)]
        return lifted != [None, None, None]

    def receive(self, session: SimSession) -> None:
        """Apply the frame faults in force to a new connection."""
        for fault_id, fault in self._frame_faults.items():
            if fault.selects(session.ordinal, session.key_id):
                self._tamper(session, fault_id, fault)

    def refusal(self) -> int | None:
        """Return the HTTP status that refuses a new connection; 0 resets it, None accepts it."""
        return 503 if self.is_in_maintenance else next(iter(self._refusals.values()), None)

    def active(self) -> list[int]:
        return [*self._frame_faults, *self._refusals, *self._rest_faults]

    def rest_fault(self, path: str) -> SimRestError | RestDelay | None:
        """Return the fault that befalls a request with this path, or None, and count it down."""
        for fault_id, fault in self._rest_faults.items():
            if path.startswith(fault.path):
                fault.count -= 1
                if fault.count == 0:
                    del self._rest_faults[fault_id]
                return fault
        return None

    def _tamper(self, session: SimSession, fault_id: int, fault: AnyFrameFault) -> None:
        session.tampering.add(fault_id, fault)
        session.outbox.is_tampered = True

    def _apply_to_session(self, session: SimSession, fault: ConnectionFault) -> None:
        match fault:
            case SimClose():
                session.close(fault.code, fault.reason)
            case Reset():
                session.reset()
            case Cut():
                session.cut()
            case HalfOpen():
                session.go_silent()
            case Stall():
                session.stall()
                self._director.after(fault.seconds, session.go_on)
            case SubscriptionError():
                session.terminate_channels(fault.channels, Code(fault.code))

    def _apply_to_service(self, fault_id: int, fault: ServiceFault) -> None:
        match fault:
            case Refuse():
                self._refusals[fault_id] = fault.status
                self._director.after(fault.seconds, lambda: self._refusals.pop(fault_id, None))
            case Halt():
                self._halt()
                self._director.after(fault.seconds, self._resume)
            case Maintenance():
                self._begin_maintenance()
                self._director.after(fault.seconds, self._end_maintenance)
            case SimRestError() | RestDelay():
                self._rest_faults[fault_id] = fault
                self._director.after(fault.seconds, lambda: self._rest_faults.pop(fault_id, None))

    def _halt(self) -> None:
        self.is_trading = False
        self._exchange.pause()

    def _resume(self) -> None:
        self.is_trading = True
        self._exchange.resume()

    def _begin_maintenance(self) -> None:
        self.is_in_maintenance = True
        self._halt()
        for session in list(self._sessions.values()):
            session.close(1001, "maintenance")

    def _end_maintenance(self) -> None:
        self.is_in_maintenance = False
        self._exchange.restart_clocks()
        self._resume()
