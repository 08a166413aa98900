from msgspec import Raw

from app.store.tables import Row, Table


def unfit_row(table: Table, content: Raw, reason: str, received_us: int) -> Row:
    """For quarantine: what was meant to become a row of the table, as it came."""
    return (received_us, table.name, reason, bytes(content))
