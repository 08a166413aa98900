"""What gatherers say of themselves on their ops ports."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple
from urllib.parse import quote

import requests

from admin.remembered import Remembered

CONNECT_SECONDS, ANSWER_SECONDS = 1.0, 5.0
POLL_SECONDS = 30.0
REMEMBERED_SECONDS = 2.0


class Said(NamedTuple):
    """By one gatherer: its answer, or why there is none."""

    gatherer: str
    status: int | None
    body: dict[str, Any]
    error: str | None = None


class Gatherers:
    """All are asked at once. What they said is remembered for a moment: a page that many look at costs them little."""

    def __init__(self, urls: Mapping[str, str]) -> None:
        self._urls = dict(sorted(urls.items()))
        self.ready = self._remembered("/ready")
        self.connections = self._remembered("/admin/connections")
        self.polling = self._remembered("/admin/polling")
        self.subscriptions = self._remembered("/admin/subscriptions")

    def subscriptions_of(self, ticker: str) -> list[Said]:
        return self._ask_all("/admin/subscriptions", {"ticker": ticker})

    def poll(self, ticker: str) -> list[Said]:
        """One after the other, until one has asked the exchange for the book."""
        told: list[Said] = []
        for name in self._urls:
            told.append(self._call("POST", name, f"/admin/poll/{quote(ticker, safe='')}", POLL_SECONDS))
            if told[-1].status == requests.codes.ok:
                break
        return told

    def reconcile(self) -> list[Said]:
        return self._ask_all("/admin/reconcile", method="POST")

    def _remembered(self, path: str) -> Remembered[list[Said]]:
        return Remembered(lambda: self._ask_all(path), REMEMBERED_SECONDS)

    def _ask_all(self, path: str, parameters: Mapping[str, str] | None = None, method: str = "GET") -> list[Said]:
        if not self._urls:
            return []
        with ThreadPoolExecutor(len(self._urls)) as pool:
            return list(pool.map(lambda name: self._call(method, name, path, ANSWER_SECONDS, parameters), self._urls))

    def _call(
        self, method: str, name: str, path: str, patience: float, parameters: Mapping[str, str] | None = None
    ) -> Said:
        try:
            with requests.Session() as session:
                session.trust_env = False
                answer = session.request(
                    method,
                    self._urls[name] + path,
                    params=parameters,
                    timeout=(CONNECT_SECONDS, patience),
                    allow_redirects=False,
                )
                return Said(name, answer.status_code, _object(answer))
        except requests.RequestException as error:
            return Said(name, None, {}, f"It does not answer: {type(error).__name__}.")


def _object(answer: requests.Response) -> dict[str, Any]:
    try:
        body = answer.json()
    except requests.JSONDecodeError:
        return {}
    return body if isinstance(body, dict) else {}
