"""What a newcomer meets first: files that hold a subject each, under names that mean one thing."""

import ast
from collections import defaultdict

from tests.code_base.sources import ROOT, sources

PRODUCT = ("app", "workers", "admin", "kalshi_data")
LINES_MAX = 400
SMALL_LINES = 30
SMALL_FILES_MAX = 11
LOOSE_MODULES_MAX = 4


def lines_of(path):
    return len(path.read_text().splitlines())


def modules():
    """Files of the product with their trees; packages' own apart, which say what is in them."""
    return [(path, tree) for path, tree in sources(*PRODUCT) if path.name != "__init__.py"]


def test_no_file_is_longer_than_a_reader_can_keep_in_mind():
    assert [str(path.relative_to(ROOT)) for path, _ in sources(*PRODUCT) if lines_of(path) > LINES_MAX] == []


def test_few_files_are_small_and_each_says_why_it_stands_alone():
    small = [(str(path.relative_to(ROOT)), tree) for path, tree in modules() if lines_of(path) <= SMALL_LINES]
    assert len(small) <= SMALL_FILES_MAX, [path for path, _ in small]
    silent = [path for path, tree in small if "alone" not in (ast.get_docstring(tree) or "").split("\n")[0]]
    assert silent == []


def test_few_modules_lie_loose_beside_the_packages():
    loose = [path.name for path, _ in modules() if path.parent == ROOT / "app"]
    assert len(loose) <= LOOSE_MODULES_MAX, loose


def test_a_package_says_what_is_in_it():
    silent = [
        str(path.relative_to(ROOT))
        for path, tree in sources(*PRODUCT)
        if path.name == "__init__.py" and not ast.get_docstring(tree)
    ]
    assert silent == []


def test_a_class_name_stands_for_one_class():
    where = defaultdict(list)
    for path, tree in sources(*PRODUCT):
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                where[node.name].append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert {name: places for name, places in where.items() if len(places) > 1} == {}
