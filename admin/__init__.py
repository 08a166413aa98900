"""The admin service: gunicorn admin:app."""

import sys
from typing import Any, NoReturn

from app.errors import SettingsError

# gunicorn's own code for a worker that cannot start: it gives up, instead of starting another one.
BOOT_ERROR = 3


def __getattr__(name: str) -> Any:  # noqa: ANN401 - a module's attribute
    # Created on access, so that importing the package needs no settings.
    if name == "app":
        from admin.application import create_app  # noqa: PLC0415
        from app.settings.loading import load_settings  # noqa: PLC0415

        try:
            return create_app(load_settings())
        except SettingsError as error:
            leave(error)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def leave(error: SettingsError) -> NoReturn:
    """End the process with the error alone: gunicorn would print a traceback around it."""
    sys.stderr.write(f"{error}\n")
    sys.exit(BOOT_ERROR)
