"""Run the simulated exchange as a child process, and plan the faults of a demo with chaos.

In: commands to the simulator's control port. Out: settings for the processes that use it, and its truth folder.
"""

from collections.abc import Callable, Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple

from app.demo.platform import Platform
from app.demo.processes import GATHERERS, Child, ask, wait_until
from app.errors import OperatorError

MARKETS = 1_000
CHANGES_PER_SECOND = 300
HEARTBEAT_SECONDS = 2
TOLD_SECONDS = 60.0


class SimulatedExchange(Child):
    """The simulated exchange, on this host's clock. Every start has another seed, so that trade ids never repeat."""

    def __init__(self, keys: Path, run: Path, seed: int) -> None:
        self.truth = run / "truth"
        size = ["--markets", MARKETS, "--rate", CHANGES_PER_SECOND, "--tier", "unlimited"]
        options = ["--folder", keys, "--truth", self.truth, "--seed", seed, "--heartbeat", HEARTBEAT_SECONDS, *size]
        super().__init__("exchange", ["app", "simulator", *map(str, options)], {}, run)
        self._where: dict[str, Any] = {}

    def start(self) -> None:
        super().start()
        self._where = self.first_object()

    @property
    def started_us(self) -> int:
        return int(self._where["start_us"])

    def key_id(self, number: int) -> str:
        return str(self._where["keys"][number]["key_id"])

    def settings(self, number: int) -> dict[str, str]:
        """Return the settings for the process that uses the key of this number."""
        return {
            "KALSHI_REST_URL": self._where["rest"],
            "KALSHI_WS_URL": self._where["websocket"],
            "KALSHI_API_KEY_ID": self.key_id(number),
            "KALSHI_API_PRIVATE_KEY_FILE": self._where["keys"][number]["private_key_file"],
        }

    def inflict(self, fault: str, **details: object) -> None:
        self._control("/faults", {"fault": fault, **details})

    def stop_the_clock(self) -> int:
        """Stop the clock and return its time, once everything that happened until then has been sent."""
        self._control("/clock", {"running": False})
        wait_until(self._why_not_told, TOLD_SECONDS)
        return int(self._control("/state")["now_us"])

    def _why_not_told(self) -> str | None:
        state = self._control("/state")
        waiting = sum(connection["waiting_frames"] for connection in state["connections"])
        is_told = state["told_until_us"] == state["now_us"] and not waiting
        return None if is_told else f"The exchange has not told everything: {waiting} frames wait."

    def _control(self, path: str, body: object = None) -> Any:  # noqa: ANN401 - JSON
        answer = ask(self._where["control"] + path, body)
        if answer is None or answer.status >= HTTPStatus.BAD_REQUEST:
            raise OperatorError(
                "The simulated exchange rejected a command.", f"{path}: {answer}", f"see {self.log_file}."
            )
        return answer.body if answer.text else None


# The faults that are done to a running platform, and when.

AWAY_SECONDS = 2.0
# Tickers carry no sequence number: a gatherer cannot notice a missed one, and if every gatherer misses it, no gap is
# declared.
NUMBERED = ["orderbook_delta", "trade", "market_lifecycle_v2"]


class ChaosStep(NamedTuple):
    at_seconds: float
    what: str
    do: Callable[[], None]
    repairs: bool = False  # undoes the step before; done even if the run is cut short


def chaos(platform: Platform, exchange: SimulatedExchange, seconds: float) -> Iterator[ChaosStep]:
    """Yield the faults: a different one for each gatherer at its own time, so that two others work.

    At the end every gatherer loses its connections for a moment, which must be declared as a hole.
    """
    killed, _, without_database = (platform.recorders[name] for name in GATHERERS)
    keys = [exchange.key_id(1)]

    def drop_frames() -> None:
        exchange.inflict("drop", keys=keys, channels=NUMBERED, count=20, skip=3)

    def close_connections() -> None:
        exchange.inflict("close", keys=keys)

    first, second, third, fourth, last = (seconds * part for part in (0.1, 0.25, 0.45, 0.6, 0.85))
    yield ChaosStep(first, f"{GATHERERS[1]} misses frames", drop_frames)
    yield ChaosStep(second, f"{GATHERERS[0]} is killed", killed.process.kill)
    yield ChaosStep(second + AWAY_SECONDS, f"{GATHERERS[0]} starts again", killed.process.start, repairs=True)
    yield ChaosStep(third, f"{GATHERERS[1]} loses its connections", close_connections)
    yield ChaosStep(fourth, f"the database of {GATHERERS[2]} is killed", without_database.server.kill)
    revive = without_database.server.start_again
    yield ChaosStep(fourth + AWAY_SECONDS, f"the database of {GATHERERS[2]} starts again", revive, repairs=True)
    yield ChaosStep(last, "everybody loses all connections", lambda: exchange.inflict("reset"))
