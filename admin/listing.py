"""A list that people page through: what it shows, what it can be narrowed to, and in which order it is."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec
from marshmallow import Schema, ValidationError, fields
from marshmallow.validate import Length, OneOf, Range
from psycopg2 import sql

from admin import keyset
from admin.database import Database
from admin.knowledge import KNOWN_FIELDS
from admin.queries import TimeRange
from app.tokens import Role

USUAL_ROWS = 100
MOST_ROWS = 1_000
MOST_STREAMED_ROWS = 10_000_000
FORMATS = ("json", "csv", "ndjson")
EXACT = (
    "Of CSV alone: cells as they are, for programs. Unless it is true, text that a spreadsheet would take for a "
    "formula begins with an apostrophe. JSON and NDJSON are always exact."
)

PAGE = sql.SQL("""
    SELECT row_to_json(page)::TEXT FROM (
        SELECT * FROM (SELECT {columns} FROM {source} WHERE {conditions}) AS rows
        WHERE {beyond} ORDER BY {order} LIMIT %(limit)s
    ) AS page
""")


class Column(NamedTuple):
    name: str
    expression: str
    field: fields.Field[Any]


class Filter(NamedTuple):
    """Rows for which the condition holds, when the request has this parameter."""

    condition: str
    field: fields.Field[Any]


@dataclass(frozen=True, eq=False)
class Listing:
    path: str
    name: str
    summary: str
    columns: tuple[Column, ...]
    source: str
    keys: tuple[keyset.Key, ...]
    filters: Mapping[str, Filter] = field(default_factory=dict)
    newest_first: bool = False
    role: Role = Role.READ
    envelope: str | None = None  # what the rows are called in JSON, where that is not the name
    channel: str | None = None  # of a market; with its rows it is said how completely it was heard

    @property
    def rows_name(self) -> str:
        return self.envelope or self.name

    def query_schema(self) -> type[Schema]:
        asked = {name: each.field for name, each in self.filters.items() if f"<{name}>" not in self.path}
        common: dict[str, fields.Field[Any]] = {
            "limit": fields.Integer(load_default=None, validate=Range(1, MOST_STREAMED_ROWS)),
            "after": fields.String(load_default=None, validate=Length(1, 600)),
            "order": fields.String(
                load_default="desc" if self.newest_first else "asc", validate=OneOf(["asc", "desc"])
            ),
            "format": fields.String(load_default=None, validate=OneOf(FORMATS)),
            "exact": fields.Boolean(load_default=False, metadata={"description": EXACT}),
        }
        return TimeRange.from_dict({**asked, **common}, name=f"{self.name}_query")

    def row_schema(self) -> type[Schema]:
        return Schema.from_dict({column.name: column.field for column in self.columns}, name=f"{self.name}_row")

    def page_schema(self) -> type[Schema]:
        rows = fields.List(fields.Nested(self.row_schema()), required=True)
        known = KNOWN_FIELDS if self.channel else {}
        return Schema.from_dict(
            {self.rows_name: rows, "next": fields.String(allow_none=True), **known}, name=f"{self.name}_page"
        )


class Page(NamedTuple):
    """Rows as JSON, and the key of the last one; None: these are the last."""

    rows: list[str]
    next: str | None

    def decoded(self) -> list[dict[str, Any]]:
        return [msgspec.json.decode(row) for row in self.rows]

    def body(self, name: str, **more: object) -> bytes:
        rest = msgspec.json.encode({"next": self.next, **more}).decode()
        return f'{{"{name}":[{",".join(self.rows)}],{rest[1:]}'.encode()


def page_limit(asked: int | None) -> int:
    if asked is not None and asked > MOST_ROWS:
        raise ValidationError({"limit": [f"A page has at most {MOST_ROWS} rows; csv and ndjson may have more."]})
    return asked or USUAL_ROWS


def one_page(database: Database, listing: Listing, asked: Mapping[str, Any], limit: int) -> Page:
    statement, parameters = _statement(listing, asked)
    # One row more than asked for tells whether there is another page.
    rows = [row for (row,) in database.rows(statement, {**parameters, "limit": limit + 1})]
    if len(rows) <= limit:
        return Page(rows, None)
    return Page(rows[:limit], keyset.written(listing.keys, msgspec.json.decode(rows[limit - 1])))


def pages(database: Database, listing: Listing, asked: Mapping[str, Any], rows: int) -> Iterator[Page]:
    """Page after page: whoever reads slowly keeps no transaction open."""
    after = asked["after"]
    while rows:
        page = one_page(database, listing, {**asked, "after": after}, min(rows, MOST_ROWS))
        yield page
        rows -= len(page.rows)
        if (after := page.next) is None:
            return


def _statement(listing: Listing, asked: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    narrowed = tuple(name for name in listing.filters if asked.get(name) is not None)
    parameters = {name: asked[name] for name in narrowed}
    if asked["after"] is not None:
        for number, value in enumerate(keyset.read(listing.keys, asked["after"])):
            parameters[f"key_{number}"] = value
    return _text(listing, narrowed, asked["order"] == "desc", asked["after"] is not None), parameters


@lru_cache(maxsize=1_000)
def _text(listing: Listing, narrowed: tuple[str, ...], backwards: bool, goes_on: bool) -> str:
    """All of it is made of what stands in our own lists; what was asked for comes as parameters."""
    keys = [sql.SQL(key.column) for key in listing.keys]
    places = [sql.Placeholder(f"key_{number}") for number in range(len(keys))]
    beyond = sql.SQL("({}) {} ({})").format(_listed(keys), sql.SQL("<" if backwards else ">"), _listed(places))
    columns = [sql.SQL(f"{column.expression} AS {column.name}") for column in listing.columns]
    conditions = [sql.SQL(listing.filters[name].condition) for name in narrowed]
    return PAGE.format(
        columns=_listed(columns),
        source=sql.SQL(listing.source),
        conditions=sql.SQL(" AND ").join(conditions or [sql.SQL("TRUE")]),
        beyond=beyond if goes_on else sql.SQL("TRUE"),
        order=_listed([sql.SQL("{} DESC" if backwards else "{}").format(key) for key in keys]),
    ).as_string(None)  # type: ignore[arg-type]  # nothing in it depends on a connection


def _listed(parts: Sequence[sql.Composable]) -> sql.Composed:
    return sql.SQL(", ").join(parts)
