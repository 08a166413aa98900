"""The command kalshi-data. It stands alone, since the library itself imports nothing of the platform that it runs."""

import sys
from importlib import import_module, util

NEEDED = "click"  # the platform's first requirement that the library does without
OWN_COMMAND = "export-to"
MISSING = """\
The library kalshi_data is installed, but not the platform that this command runs.
Fix: in the project's folder, run pip install '.[platform]', or make demo, which installs it by itself.
To read a lake, the library is enough:
    import kalshi_data as kd
    lake = kd.open("/path/to/the/lake")
"""


def main() -> None:
    """Run the library's command, or the platform's command line. Exit with 2 if only the library is installed."""
    if sys.argv[1:2] == [OWN_COMMAND]:
        sys.exit(import_module("kalshi_data.exports.command").main(sys.argv[2:]))
    if util.find_spec(NEEDED) is None:
        sys.stderr.write(MISSING)
        sys.exit(2)
    # By its name: the library imports nothing of the platform.
    import_module("app.cli").main()


if __name__ == "__main__":
    main()
