"""Generate the tables of settings and assumptions in the documentation (`make docs`)."""

from app.rehearsal.assumptions import ASSUMPTIONS, Assumption
from app.settings.loading import FILE_SUFFIX, Setting, known_settings


def replace_section(document: str, begin: str, end: str, text: str) -> str:
    """Return the document with only this text between two markers."""
    before, _, rest = document.partition(begin)
    _, _, after = rest.partition(end)
    return f"{before}{begin}\n{text}\n{end}{after}"


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
