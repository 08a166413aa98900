"""A worker of the platform: its process, and what its ops port says."""

from collections import defaultdict
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from app.demonstration.child import Child
from app.demonstration.loopback import ask, free_port


class Process(Child):
    def __init__(self, name: str, worker: str, settings: Mapping[str, str], logs: Path) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        common = {"KALSHI_OPS_ADDRESS": f"127.0.0.1:{port}", "KALSHI_LOG_FORMAT": "json"}
        super().__init__(name, ["workers", worker], {**settings, **common}, logs)

    def why_not_ready(self) -> str | None:
        self.check()
        answer = ask(f"{self.url}/ready")
        if answer is None:
            return f"{self.name} does not answer"
        return None if answer.status == HTTPStatus.OK else f"{self.name}: {'; '.join(answer.body['reasons'])}"

    def metrics(self) -> Mapping[str, float]:
        """Each one's sum over its labels; nothing while it does not answer."""
        answer = ask(f"{self.url}/metrics")
        sums: dict[str, float] = defaultdict(float)
        for family in text_string_to_metric_families(answer.text.decode() if answer else ""):
            for sample in family.samples:
                sums[sample.name] += sample.value
        return sums
