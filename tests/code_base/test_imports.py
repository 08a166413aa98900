import ast

import pytest

from tests.code_base.sources import ROOT, module_of, sources
from tests.processes import run

MAY_IMPORT = {
    "kalshi_data": {"kalshi_data"},
    "app": {"app", "sql", "kalshi_data"},
    "workers": {"app", "workers", "kalshi_data"},
    "admin": {"app", "admin", "kalshi_data"},
}
FOLDERS = {"app", "workers", "admin", "tests", "sql", "kalshi_data"}


def imported(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.split(".")[0]


def loaded_at_once(tree, modules):
    """The modules of ours that must be loaded before this one is."""
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                dotted = f"{node.module}.{alias.name}"
                yield dotted if dotted in modules else node.module


def circle_in(needs):
    """A module that needs itself by way of others, with those on the way; None if there is none."""
    done = set()

    def search(module, way):
        if module in way:
            return [*way[way.index(module) :], module]
        if module in done:
            return None
        found = next((circle for other in sorted(needs[module]) if (circle := search(other, [*way, module]))), None)
        done.add(module)
        return found

    return next((circle for module in sorted(needs) if (circle := search(module, []))), None)


@pytest.mark.parametrize("folder", MAY_IMPORT)
def test_imports_point_one_way(folder):
    for path, tree in sources(folder):
        assert set(imported(tree)) & FOLDERS <= MAY_IMPORT[folder], path.relative_to(ROOT)


def test_no_modules_need_each_other_to_be_loaded():
    trees = {module_of(path): tree for path, tree in sources(*MAY_IMPORT)}
    needs = {module: {*loaded_at_once(tree, trees)} & set(trees) - {module} for module, tree in trees.items()}
    assert circle_in(needs) is None


def test_a_circle_is_found():
    assert circle_in({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]


def test_what_is_heavy_is_loaded_by_those_processes_alone_that_need_it():
    """Named by nobody there, it may come with another module of ours: only a process shows that it does not."""
    done = run("-c", "import sys, workers.__main__; print(*sys.modules)")
    loaded = set(done.stdout.split())
    assert {"workers.gatherer.process", "workers.deduplicator.process", "workers.maintainer"} <= loaded, done.stderr
    assert not {"pyarrow", "numpy", "boto3", "duckdb"} & loaded
