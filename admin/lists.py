"""Every list over HTTP: page by page as JSON, or as many rows as wanted as CSV or NDJSON."""

from flask import Blueprint, Response, request

from admin.answers import TYPES, json_answer, lines, wanted_format
from admin.database import Database
from admin.described import described
from admin.knowledge import known_of
from admin.listing import MOST_STREAMED_ROWS, Listing, one_page, page_limit, pages
from admin.listings import LISTINGS
from admin.queries import checked_path


def lists_blueprint(database: Database) -> Blueprint:
    blueprint = Blueprint("lists", __name__, url_prefix="/admin")
    for listing in LISTINGS:
        _add(blueprint, database, listing)
    return blueprint


def _add(blueprint: Blueprint, database: Database, listing: Listing) -> None:
    schema = listing.query_schema()
    query = schema()

    @blueprint.get(listing.path, endpoint=listing.name)
    @described(listing.summary, listing.role, schema, answer=listing.page_schema(), types=tuple(TYPES.values()))
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
