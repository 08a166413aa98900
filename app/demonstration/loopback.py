"""Asking processes on this host."""

import http.client
import json
import socket
import urllib.error
import urllib.request
from typing import Any, NamedTuple

ANSWER_SECONDS = 10.0


class Answer(NamedTuple):
    status: int
    text: bytes

    @property
    def body(self) -> Any:  # noqa: ANN401 - whatever the process says
        return json.loads(self.text)


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def ask(url: str, body: object = None) -> Answer | None:
    """None: nobody answers, as of a process that starts or has ended."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})  # noqa: S310 - our own
    try:
        with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as response:  # noqa: S310 - our own
            return Answer(response.status, response.read())
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, error.read())
    except (OSError, http.client.HTTPException):
        return None
