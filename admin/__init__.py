"""The admin service: gunicorn admin:app."""

from typing import Any


def __getattr__(name: str) -> Any:  # noqa: ANN401 - a module's attribute
    # Created on access, so that importing the package needs no settings.
    if name == "app":
        from admin.application import create_app  # noqa: PLC0415
        from app.settings.loading import load_settings  # noqa: PLC0415

        return create_app(load_settings())
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
