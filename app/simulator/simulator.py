"""One simulated exchange: its history, and the servers that publish it.

In: `Options`. Out: REST, WebSocket and control ports, and the truth on disk. `Simulator.__init__` shows how the parts
are connected.
"""

import shutil
from functools import partial
from pathlib import Path
from typing import Any, Literal

import gevent
import msgspec

from app.errors import OperatorError
from app.runtime.clock import now_us
from app.simulator.control import create_control
from app.simulator.director import Director
from app.simulator.fault_desk import FaultDesk
from app.simulator.faults import Planned, decode_plan
from app.simulator.keys import DemoKey, KeyRing, load_public_key, make_demo_keys
from app.simulator.limits import TIERS, ErrorBodies, Shape, SimLimits, SimRequestBudget
from app.simulator.market.exchange import Exchange
from app.simulator.market.kinds import DAY_US, SECOND_US
from app.simulator.market.profiles import QUIET
from app.simulator.rest.application import PREFIX, create_application
from app.simulator.rest.site import Site
from app.simulator.runtime import Clock, Supervisor, http_server
from app.simulator.truth import Header, Truth
from app.simulator.websocket.cents_frames import CentsFrames
from app.simulator.websocket.dollar_frames import DollarFrames
from app.simulator.websocket.hub import Hub
from app.simulator.websocket.server import PATH, WebSocketServer


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of one simulator."""

    host: str = "127.0.0.1"
    rest_port: int = 0
    websocket_port: int = 0
    control_port: int = 0
    certificate: Path | None = None
    wire: Literal["dollars", "cents"] = "dollars"
    seed: int = 1
    markets: int = 1_000
    changes_per_second: int = 200
    profile: str = QUIET
    start_us: int | None  # None: now
    speed: float = 1.0
    stop_after_seconds: float | None = None
    truth: Path
    demo_keys: Path
    public_keys: dict[str, Path] = {}
    plan: Path | None = None
    tier: str = "basic"
    error_shape: Shape = "nested"
    hidden_seconds: float = 0.0
    live_days: int = 60
    signature_tolerance_seconds: float = 30.0
    blast: bool = False
    limits: SimLimits = SimLimits()


FLUSH_SECONDS = 1.0


class Simulator:
    """The exchange, the director that advances it, and its three servers."""

    def __init__(self, options: Options) -> None:
        if options.blast and options.wire == "cents":
            raise OperatorError("The blast speaks today's wire alone.", fix="leave out --wire cents, or --blast")
        self._options = options
        self.supervisor = Supervisor()
        # Validate the user's input before the truth is begun: its folder cannot be used by a later run.
        planned = _planned(options.plan) if options.plan else []
        self._demo_keys, keys = _keys(options)
        # Making keys can take a second, by which an exchange of now would be behind.
        self._start_us = now_us() if options.start_us is None else options.start_us
        self._clock = Clock(self._start_us, options.speed)
        self._clock.stop()
        header = _header(options, self._start_us)
        self._truth = Truth(options.truth, header)
        catalog = header.catalog()
        exchange = Exchange(catalog, 0 if options.blast else options.changes_per_second)
        wire = CentsFrames(catalog) if options.wire == "cents" else DollarFrames()
        hub = Hub(catalog, exchange, wire, self._clock, blasts=options.blast)
        errors = ErrorBodies(options.error_shape)
        self._websocket = WebSocketServer(
            address=(options.host, options.websocket_port),
            hub=hub,
            keys=keys,
            limits=options.limits,
            ledger=self._truth,
            errors=errors,
            supervisor=self.supervisor,
            paths=(PATH, "/") if options.wire == "cents" else (PATH,),
            certificate=options.certificate,
        )
        self._director = Director(exchange, hub, self._truth, self._clock)
        faults = FaultDesk(self._websocket.sessions, exchange, self._director)
        self._websocket.on_connect, self._websocket.refusal = faults.receive, faults.refusal
        hidden_us, live_us = int(options.hidden_seconds * SECOND_US), options.live_days * DAY_US
        site = Site(catalog, exchange, self._clock, hidden_us, live_us, lambda: faults.is_trading)
        rest = create_application(site, errors, SimRequestBudget(TIERS[options.tier]), keys, faults)
        control = create_control(self._websocket, faults, self._director, self._clock)
        self._rest = http_server((options.host, options.rest_port), rest, self.supervisor)
        self._control = http_server((options.host, options.control_port), control, self.supervisor)
        self._plan(faults, planned)

    def start(self) -> dict[str, Any]:
        """Start the servers and the history. Return the addresses, the demo keys and the start time."""
        host, port = self._listen()
        self._clock.go_on()
        self.supervisor.spawn(self._director.run)
        self.supervisor.spawn(self._flush_truth)
        return {
            "rest": f"http://{host}:{self._rest.server_port}{PREFIX}",
            "websocket": f"{'wss' if self._options.certificate else 'ws'}://{host}:{port}{PATH}",
            "control": f"http://{host}:{self._control.server_port}",
            "truth": str(self._options.truth),
            "keys": [{"key_id": key.key_id, "private_key_file": str(key.private_key_file)} for key in self._demo_keys],
            "start_us": self._start_us,
        }

    def _listen(self) -> tuple[str, int]:
        try:
            self._rest.start()
            self._control.start()
            return self._websocket.start()
        except OSError as error:
            shutil.rmtree(self._options.truth)  # the run had not begun: leave no folder behind
            raise OperatorError(
                "The simulator cannot listen where it should.",
                str(error),
                "choose other ports, 0 for any, or another host.",
            ) from error

    def stop(self) -> None:
        self._clock.stop()
        self._websocket.stop()
        for server in (self._rest, self._control):
            server.stop(timeout=1)
        self.supervisor.kill()
        self._truth.close()

    def _flush_truth(self) -> None:
        while True:
            gevent.sleep(FLUSH_SECONDS)
            self._truth.flush()

    def _plan(self, faults: FaultDesk, planned: list[Planned]) -> None:
        for each in planned:
            self._director.after(each.at_seconds, partial(faults.inflict, each.fault))
        if self._options.stop_after_seconds is not None:
            self._director.after(self._options.stop_after_seconds, self._end)

    def _end(self) -> None:
        self._director.end()
        self.supervisor.finish()


def _planned(file: Path) -> list[Planned]:
    try:
        return decode_plan(file.read_bytes())
    except msgspec.DecodeError as error:
        raise OperatorError(
            f"{file} is no plan of faults.", str(error), "give a list of at_seconds and fault"
        ) from None


def _header(options: Options, start_us: int) -> Header:
    return Header(
        seed=options.seed,
        markets=options.markets,
        start_us=start_us,
        changes_per_second=options.changes_per_second,
        wire=options.wire,
        profile=options.profile,
    )


def _keys(options: Options) -> tuple[list[DemoKey], KeyRing]:
    tolerance_ms = int(options.signature_tolerance_seconds * 1_000)
    if options.public_keys:
        keys = {key_id: load_public_key(file) for key_id, file in options.public_keys.items()}
        return [], KeyRing(keys, tolerance_ms)
    demo_keys, demo_public_keys = make_demo_keys(options.demo_keys)
    return demo_keys, KeyRing(demo_public_keys, tolerance_ms)
