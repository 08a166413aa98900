"""What a reader of the rules would trip over, looked for in every file."""

import ast

from tests.code_base.sources import ROOT, sources

PRODUCT = ("app", "workers", "admin")
PRICE_OR_SIZE = ("_e6", "_e2")


def where(path, node):
    return f"{path.relative_to(ROOT)}:{node.lineno}"


def calls(tree, *names):
    return [node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) in names]


def test_greenlets_are_spawned_in_groups_alone():
    found = [
        where(path, node)
        for path, tree in sources(*PRODUCT)
        for node in calls(tree, "gevent.spawn", "gevent.spawn_later")
    ]
    assert found == []


def test_queues_have_bounds_or_say_who_bounds_them():
    found = [
        where(path, node)
        for path, tree in sources(*PRODUCT)
        for node in calls(tree, "Queue", "queue.Queue", "gevent.queue.Queue", "deque", "collections.deque")
        if not node.args and not node.keywords and "# bounded by" not in path.read_text().splitlines()[node.lineno - 1]
    ]
    assert found == []


def test_no_except_hides_what_happened():
    found = [
        where(path, node)
        for path, tree in sources()
        for node in ast.walk(tree)
        if isinstance(node, ast.ExceptHandler) and all(isinstance(step, ast.Pass) for step in node.body)
    ]
    assert found == []


def test_no_price_or_size_is_divided_or_made_a_float():
    def is_money(node):
        return any(
            isinstance(part, ast.Name | ast.Attribute) and ast.unparse(part).endswith(PRICE_OR_SIZE)
            for part in ast.walk(node)
        )

    found = [
        where(path, node)
        for path, tree in sources(*PRODUCT)
        for node in ast.walk(tree)
        if (isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div) and is_money(node))
        or (isinstance(node, ast.Call) and ast.unparse(node.func) in ("float", "round") and is_money(node))
    ]
    assert found == []


def test_tests_wait_for_conditions_and_not_for_time():
    # One place polls for a condition; a benchmark's time is what it measures.
    allowed = {ROOT / "tests/processes.py", *(ROOT / "tests/bench").rglob("*.py")}
    found = [
        where(path, node)
        for path, tree in sources("tests")
        if path not in allowed
        for node in calls(tree, "time.sleep", "sleep")
    ]
    assert found == []


def test_driver_waits_are_not_handed_to_gevent():
    found = [
        where(path, node)
        for path, tree in sources(*PRODUCT)
        for node in calls(tree, "psycopg2.extensions.set_wait_callback")
    ]
    assert found == []


def test_workers_are_patched_before_anything_is_imported():
    first = ast.parse((ROOT / "workers/__main__.py").read_text()).body[:2]
    assert [ast.unparse(statement) for statement in first] == ["from gevent import monkey", "monkey.patch_all()"]


def own_lines(function):
    """Without those of the functions defined in it, as the routes of a blueprint are."""
    nested = [node for node in ast.walk(function) if isinstance(node, ast.FunctionDef) and node is not function]
    return (function.end_lineno - function.lineno + 1) - sum(node.end_lineno - node.lineno + 1 for node in nested)


def test_functions_are_short():
    found = [
        where(path, node)
        for path, tree in sources(*PRODUCT)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and own_lines(node) > 40
    ]
    assert found == []
