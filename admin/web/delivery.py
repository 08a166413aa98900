"""Finish every answer: security headers, 304 for content that the browser has, and compression."""

import zlib
from collections.abc import Iterable, Iterator

from flask import Flask, Response, request

SMALLEST_COMPRESSED_BYTES = 1_000
COMPRESSION_LEVEL = 1
GZIP = 16 + zlib.MAX_WBITS
COMPRESSED_TYPES = ("application/json", "application/x-ndjson", "text/", "application/problem+json")

CAREFUL = {
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # With "no-referrer" browsers would also omit the origin of our own forms, which would then look like another
    # site's.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


def add_security_headers_and_compression(app: Flask) -> None:
    app.after_request(_finish_answer)


def _finish_answer(answer: Response) -> Response:
    answer.headers.update(CAREFUL)
    if request.is_secure:
        answer.headers["Strict-Transport-Security"] = "max-age=31536000"
    if request.endpoint != "static":
        answer.headers["Cache-Control"] = "private, no-cache" if request.method in {"GET", "HEAD"} else "no-store"
    # A stream would be read to its end here, to know its length.
    if request.method in {"GET", "HEAD"} and answer.status_code == 200 and not answer.is_streamed:
        answer.make_conditional(request)
    return _compressed(answer)


def _compressed(answer: Response) -> Response:
    if not (answer.mimetype or "").startswith(COMPRESSED_TYPES):
        return answer
    answer.vary.add("Accept-Encoding")
    if answer.status_code == 304 or not request.accept_encodings["gzip"]:
        return answer
    if answer.direct_passthrough:
        _read_file(answer)
    if answer.is_streamed:
        answer.response = _compressed_pieces(answer.iter_encoded())
    elif len(content := answer.get_data()) < SMALLEST_COMPRESSED_BYTES:
        return answer
    else:
        answer.set_data(b"".join(_compressed_pieces([content])))
    answer.headers["Content-Encoding"] = "gzip"
    return answer


def _read_file(answer: Response) -> None:
    """Have the content of one of our own small files, such as a script, which otherwise would be sent as it is."""
    answer.direct_passthrough = False
    answer.make_sequence()
    # Weak, as in admin/api/lists.py.
    answer.set_etag(answer.get_etag()[0] or "", weak=True)


def _compressed_pieces(pieces: Iterable[bytes]) -> Iterator[bytes]:
    compressor = zlib.compressobj(COMPRESSION_LEVEL, wbits=GZIP)
    for piece in pieces:
        # Flushed after each piece, so that a slow list appears as it is read.
        yield compressor.compress(piece) + compressor.flush(zlib.Z_SYNC_FLUSH)
    yield compressor.flush()
