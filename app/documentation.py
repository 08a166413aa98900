"""Generate the tables of settings and assumptions in the documentation (`make docs`)."""

from collections.abc import Callable
from pathlib import Path

from app.errors import OperatorError
from app.rehearsal.assumptions import ASSUMPTIONS, Assumption
from app.settings.loading import FILE_SUFFIX, Setting, known_settings


def replace_section(document: str, begin: str, end: str, text: str) -> str:
    """Return the document with only this text between two markers. Raise ValueError if it lacks one."""
    before, first, rest = document.partition(begin)
    _, last, after = rest.partition(end)
    if not (first and last):
        raise ValueError(f"it has no {begin} with {end} after it")
    return f"{before}{begin}\n{text}\n{end}{after}"


def rewrite(file: Path, with_table: Callable[[str], str]) -> None:
    """Replace the file's table. Raise OperatorError if that is not possible; the file is unchanged then."""
    try:
        file.write_text(with_table(file.read_text()))
    except (OSError, ValueError) as error:
        raise OperatorError(f"The table cannot be put into {file}.", str(error), "name the document of it.") from error


SETTINGS_BEGIN = "<!-- settings: written by `make docs` -->"
SETTINGS_END = "<!-- end of settings -->"


def settings_table() -> str:
    rows = ["| variable | default | meaning |", "|---|---|---|"]
    rows += [
        f"| `{setting.variable}`{_file(setting)} | {_default(setting)} | {setting.description} |"
        for setting in known_settings()
    ]
    return "\n".join(rows)


def with_settings_table(document: str) -> str:
    """Return the document with the table between its two markers."""
    return replace_section(document, SETTINGS_BEGIN, SETTINGS_END, settings_table())


def _file(setting: Setting) -> str:
    return f" or `…{FILE_SUFFIX}`" if setting.is_secret else ""


def _default(setting: Setting) -> str:
    return f"`{setting.default}`" if setting.default is not None else ""


# The table in docs/assumptions.md. Kept apart from the list in app/rehearsal/assumptions.py, which fills its file.

BEGIN = "<!-- assumptions: written by `make docs` -->"
END = "<!-- end of assumptions -->"


def assumptions_table() -> str:
    rows = ["| name | what is assumed | relied on by | otherwise |", "|---|---|---|---|"]
    rows += [f"| `{each.key}` | {each.statement} | {_files(each)} | {each.otherwise} |" for each in ASSUMPTIONS]
    return "\n".join(rows)


def with_assumptions_table(document: str) -> str:
    """Return the document with the table between its two markers."""
    return replace_section(document, BEGIN, END, assumptions_table())


def _files(assumption: Assumption) -> str:
    return ", ".join(f"`{file}`" for file, _ in assumption.relied_on)
