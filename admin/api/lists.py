"""Serve every list over HTTP: page by page as JSON, or any number of rows as CSV or NDJSON."""

import csv
import hashlib
import io
import re
from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from itertools import chain

import msgspec
from flask import Blueprint, Response, request

from admin.api.listings import LISTINGS
from admin.api.paging import MOST_STREAMED_ROWS, Listing, ListPage, one_page, page_limit, pages
from admin.api.schemas import known_of
from admin.web.database import RequestDatabase
from app.ops.endpoint import JSON, checked_path, endpoint

# Answers in JSON, and streams of lines for many rows.

CSV = "text/csv"
NDJSON = "application/x-ndjson"
# The last four are the full-width forms of the first four.
FORMULA_BEGINNINGS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")
TYPES = {"json": JSON, "csv": CSV, "ndjson": NDJSON}


def json_answer(body: object, status: HTTPStatus = HTTPStatus.OK) -> Response:
    """Return the answer for a value, or for bytes that already are JSON."""
    content = body if isinstance(body, bytes) else msgspec.json.encode(body)
    answer = Response(content, status, mimetype=JSON)
    # Weak: the compressed and the plain answer have different bytes, but the same content.
    answer.set_etag(hashlib.blake2b(content, digest_size=16).hexdigest(), weak=True)
    return answer


def wanted_format(asked: str | None) -> str:
    if asked is not None:
        return asked
    best = request.accept_mimetypes.best_match([JSON, CSV, NDJSON], JSON)
    return next(name for name, kind in TYPES.items() if kind == best)


def lines(listing: Listing, form: str, pages: Iterator[ListPage], is_exact: bool) -> Response:
    """Return a stream of lines. The first page is read before anything is sent, so that a query's error still can be
    answered with a problem."""
    pages = chain([next(pages)], pages)
    written = _csv(listing, pages, _exact if is_exact else _without_formula) if form == "csv" else _ndjson(pages)
    answer = Response(written, mimetype=TYPES[form])
    answer.headers["Content-Disposition"] = f'attachment; filename="{listing.name}.{form}"'
    return answer


def _ndjson(pages: Iterable[ListPage]) -> Iterator[str]:
    for page in pages:
        yield "".join(f"{row}\n" for row in page.rows)


def _csv(listing: Listing, pages: Iterable[ListPage], cell: Callable[[object], object]) -> Iterator[str]:
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


def _without_formula(value: object) -> object:
    """Prefix text that a spreadsheet would run as a formula. Titles come from the exchange, so they are untrusted."""
    is_formula = isinstance(value, str) and value.startswith(FORMULA_BEGINNINGS) and not NUMBER.fullmatch(value)
    return f"'{value}" if is_formula else _exact(value)


def lists_blueprint(database: RequestDatabase) -> Blueprint:
    blueprint = Blueprint("lists", __name__, url_prefix="/admin")
    for listing in LISTINGS:
        _add(blueprint, database, listing)
    return blueprint


def _add(blueprint: Blueprint, database: RequestDatabase, listing: Listing) -> None:
    schema = listing.query_schema()
    query = schema()

    @blueprint.get(listing.path, endpoint=listing.name)
    @endpoint(listing.summary, listing.role, schema, answer=listing.page_schema(), types=tuple(TYPES.values()))
    def rows(**path: str) -> Response:
        asked = {**query.load(request.args), **checked_path(path)}
        form = wanted_format(asked["format"])
        known = known_of(database, listing.channel, asked) if listing.channel else None
        if form == "json":
            page = one_page(database, listing, asked, page_limit(asked["limit"]))
            return json_answer(page.body(listing.rows_name, **(known._asdict() if known else {})))
        all_pages = pages(database, listing, asked, asked["limit"] or MOST_STREAMED_ROWS)
        answer = lines(listing, form, all_pages, is_exact=asked["exact"])
        answer.headers.update(known.headers() if known else {})
        return answer
