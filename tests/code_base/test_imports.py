import ast

import pytest

from tests.code_base.sources import ROOT, sources

MAY_IMPORT = {"app": {"app", "sql"}, "workers": {"app", "admin", "workers"}, "admin": {"app", "admin"}}
FOLDERS = {"app", "workers", "admin", "tests", "sql"}


def imported(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.split(".")[0]


@pytest.mark.parametrize("folder", MAY_IMPORT)
def test_imports_point_one_way(folder):
    for path, tree in sources(folder):
        assert set(imported(tree)) & FOLDERS <= MAY_IMPORT[folder], path.relative_to(ROOT)


@pytest.mark.parametrize("heavy", ["pyarrow", "boto3"])
def test_what_is_heavy_stays_out_of_the_gatherer(heavy):
    for path, tree in sources("workers"):
        assert heavy not in set(imported(tree)), path.relative_to(ROOT)
