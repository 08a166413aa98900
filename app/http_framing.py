"""Whether a request's head leaves no doubt where the request ends and whom it is for.

A proxy in front may read an unclear head otherwise than we do, and take what follows for another client's request.
"""

import re
from collections.abc import Iterable
from typing import BinaryIO

MOST_HEAD_BYTES = 65_536
MOST_HEADERS = 100

NAME = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
REQUEST_LINE = re.compile(rf"{NAME} [!-~\x80-\xff]+ HTTP/1\.[01]\r\n")
# A value holds no control characters but tabs. One that goes on in a second line is of a time long past.
HEADER = re.compile(rf"({NAME}):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*?)[ \t]*\r\n")
LENGTH = re.compile(r"[0-9]{1,18}")
HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z._~!$&'()*+,;=%-]+)(:[0-9]{1,5})?")


def header_lines(file: BinaryIO) -> list[str]:
    """Read up to the empty line. Raises ValueError where it is too long, ConnectionError where it ends early."""
    lines: list[str] = []
    left_bytes = MOST_HEAD_BYTES
    while (line := file.readline(left_bytes)) != b"\r\n":
        if not line:
            raise ConnectionError("The client left before its head was complete.")
        lines.append(line.decode("latin-1"))
        left_bytes -= len(line)
        if left_bytes <= 0 or len(lines) > MOST_HEADERS:
            raise ValueError("its head is too long")
    return lines


def problem_of_request_line(line: str) -> str | None:
    """Return why it is refused. None: it is as RFC 9112 wants it."""
    return None if REQUEST_LINE.fullmatch(line) else "its first line is no request"


def problem_of_headers(version: str, lines: Iterable[str]) -> str | None:
    """Return why they are refused, or None."""
    headers: dict[str, list[str]] = {}
    for line in lines:
        if (header := HEADER.fullmatch(line)) is None:
            return "a header is malformed"
        headers.setdefault(header[1].lower(), []).append(header[2])
    is_newer = version != "HTTP/1.0"
    return _host_problem(headers, is_newer) or _length_problem(headers, is_newer)


def _host_problem(headers: dict[str, list[str]], is_required: bool) -> str | None:
    hosts = headers.get("host", [])
    if len(hosts) > 1 or (is_required and not hosts):
        return "it names no host, or several"
    return "its host is malformed" if hosts and HOST.fullmatch(hosts[0]) is None else None


def _length_problem(headers: dict[str, list[str]], knows_chunks: bool) -> str | None:
    lengths, encodings = headers.get("content-length", []), headers.get("transfer-encoding", [])
    if len(lengths) > 1 or (lengths and LENGTH.fullmatch(lengths[0]) is None):
        return "its length is no number, or several"
    if encodings and (lengths or not knows_chunks or [each.lower() for each in encodings] != ["chunked"]):
        return "its body is encoded in a way that is not known, or has a length beside it"
    return None
