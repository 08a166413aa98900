"""What gatherers say of themselves on their ops ports."""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple
from urllib.parse import quote

import requests

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

    def __init__(self, urls: Mapping[str, str], clock: Callable[[], float] = time.monotonic) -> None:
        self._urls = dict(sorted(urls.items()))
        self._clock = clock
        self._remembered: dict[str, tuple[float, list[Said]]] = {}  # by path; few paths are asked for often

    @property
    def names(self) -> list[str]:
        return list(self._urls)

    def ask(self, path: str) -> list[Said]:
        now = self._clock()
        when, said = self._remembered.get(path, (0.0, []))
        if not said or now - when > REMEMBERED_SECONDS:
            said = self._ask_all(path)
            self._remembered[path] = (now, said)
        return said

    def ask_anew(self, path: str, parameters: Mapping[str, str]) -> list[Said]:
        return self._ask_all(path, parameters)

    def poll(self, ticker: str) -> list[Said]:
        """One after the other, until one has asked the exchange for the book."""
        told: list[Said] = []
        for name in self._urls:
            told.append(self._call("POST", name, f"/admin/poll/{quote(ticker, safe='')}", POLL_SECONDS))
            if told[-1].status == requests.codes.ok:
                break
        return told

    def _ask_all(self, path: str, parameters: Mapping[str, str] | None = None) -> list[Said]:
        if not self._urls:
            return []
        with ThreadPoolExecutor(len(self._urls)) as pool:
            return list(pool.map(lambda name: self._call("GET", name, path, ANSWER_SECONDS, parameters), self._urls))

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
