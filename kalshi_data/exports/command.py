"""The command kalshi-data export-to. It needs the library alone, and runs where the platform is not installed."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from kalshi_data.errors import LakeError
from kalshi_data.exports.export import FORMATS, export_to
from kalshi_data.lake import Lake, open_demo, open_lake

DESCRIPTION = """\
Write order books and trades of a market, an event or a series for a backtester: one file a market and day, the book of
YES, cleared wherever the record has a hole. coverage/ in the folder tells what may be missing.
"""


def main(arguments: Sequence[str]) -> int:
    """Run the command. Return 0 if it wrote something, 1 if it could not, and 2 if its arguments are wrong."""
    try:
        asked = _parser().parse_args(arguments)
    except SystemExit as error:
        return int(error.code or 0)
    try:
        return _export(asked)
    except LakeError as error:
        sys.stderr.write(f"{error}\n")
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("kalshi-data export-to", description=DESCRIPTION)
    parser.add_argument("format", choices=sorted(FORMATS))
    parser.add_argument("name", metavar="MARKET|EVENT|SERIES")
    parser.add_argument("--from", dest="start", metavar="TIME", help="Such as 2026-11-21 or 2026-11-21T15:00Z.")
    parser.add_argument("--to", dest="end", metavar="TIME", help="The time itself is not included.")
    parser.add_argument("--into", required=True, type=Path, metavar="FOLDER", help="No file in it is replaced.")
    parser.add_argument(
        "--lake", metavar="PLACE", help="A folder or s3://bucket/prefix. Default: KALSHI_LAKE, or the last demo's lake."
    )
    return parser


def _export(asked: argparse.Namespace) -> int:
    lake = _lake(asked.lake or os.environ.get("KALSHI_LAKE"))
    events = 0
    for market in export_to(lake, asked.format, asked.name, asked.start, asked.end, asked.into):
        sys.stdout.write(f"{market}\n")
        sys.stdout.flush()
        events += market.changes + market.trades + market.resets
    if not events:
        raise LakeError("There was nothing to export.", "The lake has no rows of that time.", "name another time.")
    return 0


def _lake(place: str | None) -> Lake:
    return open_lake(place) if place else open_demo()
