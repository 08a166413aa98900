"""Every change is written down together with who made it: in the same transaction, so that there is none without."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from flask import g, request
from psycopg2.extras import Json

from admin.database import Cursor, Database

NOTE = """
    INSERT INTO admin_changes (who, address, action, parameters, outcome) VALUES (%s, %s, %s, %s, %s)
"""


def change(
    database: Database, action: str, parameters: Mapping[str, Any], make: Callable[[Cursor], dict[str, Any]]
) -> dict[str, Any]:
    who, address = g.holder.name, request.remote_addr or ""

    def noted(cursor: Cursor) -> dict[str, Any]:
        outcome = make(cursor)
        cursor.execute(NOTE, (who, address, action, Json(dict(parameters)), Json(outcome, dumps=_json)))
        return outcome

    return database.change(noted)


def note(database: Database, action: str, parameters: Mapping[str, Any], outcome: dict[str, Any]) -> None:
    """Of what happened elsewhere."""
    change(database, action, parameters, lambda _: outcome)


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
