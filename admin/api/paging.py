"""Lists that are read page by page: their columns, filters and order, and the SQL statement of one page.

In: a `Listing` and a request's parameters. Out: rows as JSON. A page's end is the last row's key, not a row number, so
that rows which arrive meanwhile neither repeat nor skip others.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec
from marshmallow import Schema, ValidationError, fields
from marshmallow.validate import Length, OneOf, Range
from psycopg2 import sql

from admin.api.schemas import KNOWN_FIELDS
from admin.web.database import RequestDatabase
from app.ops.endpoint import PRINTABLE, TimeRange
from app.runtime.secrets import TokenRole

# The end of a page, at which the next one begins: the last row's key, in one word.

BETWEEN = "~"
BIGGEST = 2**63
ZONES_END = timedelta(hours=16)  # PostgreSQL accepts no offset from here on


class Key(NamedTuple):
    """A column that the rows are ordered by, together with the other keys."""

    column: str
    read: Callable[[str], Any]


def written(keys: Sequence[Key], row: Mapping[str, Any]) -> str:
    # "Z" for the zone: in an address, a plus sign means a space.
    return BETWEEN.join(str(row[key.column]).replace("+00:00", "Z") for key in keys)


def read(keys: Sequence[Key], word: str) -> list[Any]:
    """Parse the keys of a page's end. Only the last key may contain the separator."""
    try:
        return [key.read(text) for key, text in zip(keys, word.split(BETWEEN, len(keys) - 1), strict=True)]
    except (ValueError, OverflowError):
        raise ValidationError({"after": ["It must be the `next` of a page of this list."]}) from None


def number(text: str) -> int:
    if not -BIGGEST <= (value := int(text)) < BIGGEST:
        raise ValueError("The number is out of range.")
    return value


def moment(text: str) -> datetime:
    value = datetime.fromisoformat(text)
    if value.tzinfo is None:
        raise ValueError("The time has no zone.")
    return in_utc(value)


def in_utc(moment: datetime) -> datetime:
    """Return the time in UTC. Raise ValueError if its offset is not one in use: Python accepts larger ones than
    PostgreSQL."""
    if abs(moment.utcoffset() or timedelta()) >= ZONES_END:
        raise ValueError("The time zone is not plausible.")
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("The time is not plausible.") from None


def boolean(text: str) -> bool:
    if text not in {"True", "False"}:
        raise ValueError("It must be true or false.")
    return text == "True"


def printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("The text is not printable.")
    return text


USUAL_ROWS = 100
MOST_ROWS = 1_000
MOST_STREAMED_ROWS = 10_000_000
FORMATS = ("json", "csv", "ndjson")
ARROW = "arrow"
EXACT = (
    "Of CSV alone: cells as they are, for programs. Unless it is true, text that a spreadsheet would take for a "
    "formula begins with an apostrophe. JSON and NDJSON are always exact."
)

PAGE = sql.SQL("""
    SELECT {shown} FROM (
        SELECT * FROM (SELECT {columns} FROM {source} WHERE {conditions}) AS rows
        WHERE {beyond} ORDER BY {order} LIMIT %(limit)s
    ) AS page
""")


class ListColumn(NamedTuple):
    name: str
    expression: str
    field: fields.Field[Any]


class Filter(NamedTuple):
    """A condition that rows have to meet if the request has this parameter."""

    condition: str
    field: fields.Field[Any]


@dataclass(frozen=True, eq=False)
class Listing:
    """One list of the API: its rows, their columns and order, and the filters that a request may use."""

    path: str
    name: str
    summary: str
    columns: tuple[ListColumn, ...]
    source: str
    keys: tuple[Key, ...]
    filters: Mapping[str, Filter] = field(default_factory=dict)
    newest_first: bool = False
    role: TokenRole = TokenRole.READ
    envelope: str | None = None  # the name of the rows in JSON, if it differs from `name`
    channel: str | None = None  # the answer then also states how completely it was received
    table: str | None = None  # of the lake, whose columns these are: the list is given as Arrow too
    batch_rows: int = 10_000  # of Arrow, held in memory at once

    @property
    def formats(self) -> tuple[str, ...]:
        return (*FORMATS, ARROW) if self.table else FORMATS

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
            "format": fields.String(load_default=None, validate=OneOf(self.formats)),
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


class ListPage(NamedTuple):
    """Rows as JSON, and the key of the last one. The key is None on the last page."""

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


def one_page(database: RequestDatabase, listing: Listing, asked: Mapping[str, Any], limit: int) -> ListPage:
    statement, parameters = _statement(listing, asked)
    # One row more than requested shows whether there is another page.
    rows = [row for (row,) in database.rows(statement, {**parameters, "limit": limit + 1})]
    if len(rows) <= limit:
        return ListPage(rows, None)
    return ListPage(rows[:limit], written(listing.keys, msgspec.json.decode(rows[limit - 1])))


def pages(database: RequestDatabase, listing: Listing, asked: Mapping[str, Any], rows: int) -> Iterator[ListPage]:
    """Yield page after page. Each is a query of its own, so a slow reader keeps no transaction open."""
    after = asked["after"]
    while rows:
        page = one_page(database, listing, {**asked, "after": after}, min(rows, MOST_ROWS))
        yield page
        rows -= len(page.rows)
        if (after := page.next) is None:
            return


def batches(
    database: RequestDatabase, listing: Listing, asked: Mapping[str, Any], rows: int
) -> Iterator[list[tuple[Any, ...]]]:
    """Yield the values of many rows at a time. Each is a query of its own, as for pages()."""
    after = asked["after"]
    names = [column.name for column in listing.columns]
    while rows:
        most = min(rows, listing.batch_rows)
        statement, parameters = _statement(listing, {**asked, "after": after}, as_json=False)
        found = database.rows(statement, {**parameters, "limit": most})
        yield found
        if len(found) < most:
            return
        rows -= len(found)
        after = written(listing.keys, dict(zip(names, found[-1], strict=True)))


def _statement(listing: Listing, asked: Mapping[str, Any], as_json: bool = True) -> tuple[str, dict[str, Any]]:
    narrowed = tuple(name for name in listing.filters if asked.get(name) is not None)
    parameters = {name: asked[name] for name in narrowed}
    if asked["after"] is not None:
        for number, value in enumerate(read(listing.keys, asked["after"])):
            parameters[f"key_{number}"] = value
    backwards, goes_on = asked["order"] == "desc", asked["after"] is not None
    return _text(listing, narrowed, backwards, goes_on, as_json), parameters


@lru_cache(maxsize=1_000)
def _text(listing: Listing, narrowed: tuple[str, ...], backwards: bool, goes_on: bool, as_json: bool) -> str:
    """Return the statement. It consists of our own lists' texts only; the request's values are passed as parameters."""
    keys = [sql.SQL(key.column) for key in listing.keys]
    places = [sql.Placeholder(f"key_{number}") for number in range(len(keys))]
    beyond = sql.SQL("({}) {} ({})").format(_listed(keys), sql.SQL("<" if backwards else ">"), _listed(places))
    columns = [sql.SQL(f"{column.expression} AS {column.name}") for column in listing.columns]
    conditions = [sql.SQL(listing.filters[name].condition) for name in narrowed]
    return PAGE.format(
        shown=sql.SQL("row_to_json(page)::TEXT" if as_json else "page.*"),
        columns=_listed(columns),
        source=sql.SQL(listing.source),
        conditions=sql.SQL(" AND ").join(conditions or [sql.SQL("TRUE")]),
        beyond=beyond if goes_on else sql.SQL("TRUE"),
        order=_listed([sql.SQL("{} DESC" if backwards else "{}").format(key) for key in keys]),
    ).as_string(None)  # type: ignore[arg-type]  # nothing in it depends on a connection


def _listed(parts: Sequence[sql.Composable]) -> sql.Composed:
    return sql.SQL(", ").join(parts)


# The fields that columns and parameters are made of.

FIRST_YEAR, LAST_YEAR = 2000, 2200
NO_TIME = "It is not a time such as 2026-11-21T15:00:00Z."

Field = fields.Field[Any]


def text(**options: Any) -> Field:  # noqa: ANN401 - as marshmallow has it
    return fields.String(allow_none=True, **options)


def asked_text(longest: int = 200) -> Field:
    return fields.String(validate=[Length(1, longest), PRINTABLE])


def asked_choice(*choices: str) -> Field:
    return fields.String(validate=OneOf(choices))


class MomentText(fields.AwareDateTime):
    """A time with its zone, or in UTC if it has none. It is converted to UTC."""

    def _deserialize(self, *arguments: Any, **named: Any) -> datetime:  # noqa: ANN401 - as marshmallow calls it
        asked: datetime = super()._deserialize(*arguments, **named)
        try:
            moment = in_utc(asked)
        except ValueError as error:
            raise ValidationError(str(error)) from None
        if not FIRST_YEAR <= moment.year < LAST_YEAR:
            raise ValidationError("The time is not plausible.")
        return moment


def asked_time(*, required: bool = False) -> Field:
    return MomentText(
        format="iso",
        default_timezone=UTC,
        required=required,
        error_messages={"invalid": NO_TIME, "format": NO_TIME},
    )


def equal(*names: str, **columns: str) -> dict[str, Filter]:
    """Return filters for columns equal to a text. Parameters have the column's name, or the one given."""
    named = {**{name: name for name in names}, **columns}
    return {name: Filter(f"{column} = %({name})s", asked_text()) for name, column in named.items()}


def one_of(name: str, *choices: str) -> dict[str, Filter]:
    return {name: Filter(f"{name} = %({name})s", asked_choice(*choices))}


def whether(**conditions: str) -> dict[str, Filter]:
    return {name: Filter(f"({condition}) = %({name})s", fields.Boolean()) for name, condition in conditions.items()}


def between(time_column: str) -> dict[str, Filter]:
    return {
        "from": Filter(f"{time_column} >= %(from)s", asked_time()),
        "to": Filter(f"{time_column} < %(to)s", asked_time()),
    }


def shown(name: str, expression: str | None = None) -> ListColumn:
    return ListColumn(name, expression or name, text())


def shown_time(name: str, expression: str | None = None) -> ListColumn:
    return ListColumn(name, expression or name, fields.DateTime(allow_none=True))


def shown_number(name: str, expression: str | None = None) -> ListColumn:
    return ListColumn(name, expression or name, fields.Integer(allow_none=True))


def shown_flag(name: str, expression: str | None = None) -> ListColumn:
    return ListColumn(name, expression or name, fields.Boolean(allow_none=True))


def shown_dollars(name: str, column: str) -> ListColumn:
    """Return a column of dollars as text, to be exact: most readers of JSON parse a number as a float."""
    return ListColumn(name, f"readable.dollars({column})::TEXT", text(metadata={"example": "0.420000"}))


def shown_contracts(name: str, column: str) -> ListColumn:
    return ListColumn(name, f"readable.contracts({column})::TEXT", text(metadata={"example": "10.00"}))


def shown_object(name: str, expression: str | None = None) -> ListColumn:
    return ListColumn(name, expression or name, fields.Dict(allow_none=True))
