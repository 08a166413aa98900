from app.document import put_between
from app.environment import FILE_SUFFIX, Setting, known_settings

BEGIN = "<!-- settings: written by `make docs` -->"
END = "<!-- end of settings -->"


def settings_table() -> str:
    rows = ["| variable | default | meaning |", "|---|---|---|"]
    rows += [
        f"| `{setting.variable}`{_file(setting)} | {_default(setting)} | {setting.description} |"
        for setting in known_settings()
    ]
    return "\n".join(rows)


def with_table(document: str) -> str:
    """The document with the table between its two markers."""
    return put_between(document, BEGIN, END, settings_table())


def _file(setting: Setting) -> str:
    return f" or `…{FILE_SUFFIX}`" if setting.is_secret else ""


def _default(setting: Setting) -> str:
    return f"`{setting.default}`" if setting.default is not None else ""
