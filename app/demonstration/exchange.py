from http import HTTPStatus
from pathlib import Path
from typing import Any

from app.demonstration.child import Child
from app.demonstration.loopback import ask
from app.demonstration.patience import wait_until
from app.errors import OperatorError

MARKETS = 1_000
CHANGES_PER_SECOND = 300
HEARTBEAT_SECONDS = 2
TOLD_SECONDS = 60.0


class SimulatedExchange(Child):
    """Its clock is ours. With another seed for every start, no trade's name comes back."""

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
        """For the process that uses the key of this number."""
        return {
            "KALSHI_REST_URL": self._where["rest"],
            "KALSHI_WS_URL": self._where["websocket"],
            "KALSHI_API_KEY_ID": self.key_id(number),
            "KALSHI_API_PRIVATE_KEY_FILE": self._where["keys"][number]["private_key_file"],
        }

    def inflict(self, fault: str, **details: object) -> None:
        self._control("/faults", {"fault": fault, **details})

    def stop_the_clock(self) -> int:
        """When it stopped. Returns when all that has happened until then is on its way."""
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
            raise OperatorError("The simulated exchange does not obey.", f"{path}: {answer}", f"see {self.log_file}.")
        return answer.body if answer.text else None
