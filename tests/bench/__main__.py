"""python -m tests.bench NAME: one JSON object a line; exit 1 when a bar is missed."""

import importlib
import pkgutil
import sys

import tests.bench
from app.runtime import logs
from tests.bench.report import Report


def main(names: list[str]) -> int:
    known = [module.name for module in pkgutil.iter_modules(tests.bench.__path__) if hasattr(load(module.name), "run")]
    if not names or set(names) - set(known):
        print(f"usage: make bench ARGS=NAME, NAME one of: {', '.join(known)}", file=sys.stderr)
        return 2
    logs.configure("auto", "warning")
    reports = [Report(name) for name in names]
    for report in reports:
        load(report.bench).run(report)
    return 0 if all(report.ok for report in reports) else 1


def load(name):
    return None if name == "__main__" else importlib.import_module(f"tests.bench.{name}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
