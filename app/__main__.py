"""Runs the command as `python -m app`. It stands alone because Python looks for it here."""

from app.cli import main

main()
