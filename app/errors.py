"""Errors that are reported to the operator: what happened, the detail, and the fix.

This is a module of its own because every package and the command line's exit codes depend on it.
"""


class OperatorError(Exception):
    """An error for the person who runs the platform: what happened, the detail, and what to do about it."""

    exit_code = 1

    def __init__(self, what: str, detail: str = "", fix: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.detail = detail
        self.fix = fix

    def __str__(self) -> str:
        lines = [self.what]
        if self.detail:
            lines.append(self.detail)
        if self.fix:
            lines.append(f"Fix: {self.fix}")
        return "\n".join(lines)


class SettingsError(OperatorError):
    exit_code = 2


class ServerError(OperatorError):
    """The embedded PostgreSQL server cannot run."""


class DatabaseError(OperatorError):
    """A database cannot be reached or is not what it should be."""


class MigrationError(DatabaseError):
    pass
