"""The table in docs/assumptions.md; apart from the list, which fills its file."""

from app.document import put_between
from app.rehearsal.assumptions import ASSUMPTIONS, Assumption

BEGIN = "<!-- assumptions: written by `make docs` -->"
END = "<!-- end of assumptions -->"


def assumptions_table() -> str:
    rows = ["| name | what is assumed | relied on by | otherwise |", "|---|---|---|---|"]
    rows += [f"| `{each.key}` | {each.statement} | {_files(each)} | {each.otherwise} |" for each in ASSUMPTIONS]
    return "\n".join(rows)


def with_table(document: str) -> str:
    """Return the document with the table between its two markers."""
    return put_between(document, BEGIN, END, assumptions_table())


def _files(assumption: Assumption) -> str:
    return ", ".join(f"`{file}`" for file, _ in assumption.relied_on)
