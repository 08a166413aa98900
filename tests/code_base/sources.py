import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]


def sources(*folders):
    """Every Python file of ours with its syntax tree."""
    for folder in folders or ("app", "workers", "admin", "kalshi_data", "tests"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield path, parsed(path)


@cache
def parsed(path):
    """Each of a dozen tests looks at all files: parsing them takes longer than looking."""
    return ast.parse(path.read_text())


def module_of(path):
    """The dotted name by which a file is imported."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
