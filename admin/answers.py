"""Answers in JSON, and in lines for those who want many rows."""

import csv
import hashlib
import io
import re
from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from itertools import chain

import msgspec
from flask import Response, request

from admin.described import JSON
from admin.listing import Listing, Page

CSV = "text/csv"
NDJSON = "application/x-ndjson"
FORMULA_BEGINNINGS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")  # wide ones too
NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")
TYPES = {"json": JSON, "csv": CSV, "ndjson": NDJSON}


def json_answer(body: object, status: HTTPStatus = HTTPStatus.OK) -> Response:
    """Of a value, or of JSON as it is."""
    content = body if isinstance(body, bytes) else msgspec.json.encode(body)
    answer = Response(content, status, mimetype=JSON)
    # Weak: compressed or not, it says the same.
    answer.set_etag(hashlib.blake2b(content, digest_size=16).hexdigest(), weak=True)
    return answer


def wanted_format(asked: str | None) -> str:
    if asked is not None:
        return asked
    best = request.accept_mimetypes.best_match([JSON, CSV, NDJSON], JSON)
    return next(name for name, kind in TYPES.items() if kind == best)


def lines(listing: Listing, form: str, pages: Iterator[Page], is_exact: bool) -> Response:
    """The first page is read before anything is sent, so that what is wrong with the question can be said."""
    pages = chain([next(pages)], pages)
    written = _csv(listing, pages, _exact if is_exact else _harmless) if form == "csv" else _ndjson(pages)
    answer = Response(written, mimetype=TYPES[form])
    answer.headers["Content-Disposition"] = f'attachment; filename="{listing.name}.{form}"'
    return answer


def _ndjson(pages: Iterable[Page]) -> Iterator[str]:
    for page in pages:
        yield "".join(f"{row}\n" for row in page.rows)


def _csv(listing: Listing, pages: Iterable[Page], cell: Callable[[object], object]) -> Iterator[str]:
    names = [column.name for column in listing.columns]
    yield ",".join(names) + "\r\n"
    for page in pages:
        text = io.StringIO()
        writer = csv.writer(text)
        for row in page.rows:
            values = msgspec.json.decode(row)
            writer.writerow([cell(values[name]) for name in names])
        yield text.getvalue()


def _exact(value: object) -> object:
    return msgspec.json.encode(value).decode() if isinstance(value, list | dict | bool) else value


def _harmless(value: object) -> object:
    """Titles are the exchange's: a spreadsheet would run those that are formulas."""
    is_formula = isinstance(value, str) and value.startswith(FORMULA_BEGINNINGS) and not NUMBER.fullmatch(value)
    return f"'{value}" if is_formula else _exact(value)
