"""What a reader of the rules would trip over, looked for in every file."""

import ast
import itertools
import re

from tests.code_base.sources import ROOT, sources

PRODUCT = ("app", "workers", "admin", "kalshi_data")
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


def test_events_are_those_that_forget_no_waiter():
    found = [
        where(path, node)
        for path, tree in sources()
        for node in ast.walk(tree)
        if (
            isinstance(node, ast.ImportFrom)
            and node.module == "gevent.event"
            and "Event" in [each.name for each in node.names]
        )
        or (isinstance(node, ast.Attribute) and ast.unparse(node) == "gevent.event.Event")
    ]
    assert [each for each in found if not each.startswith("app/runtime/events.py")] == []


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


def test_workers_wait_in_a_loop_of_the_process_or_say_why_not():
    def waits_for_a_stop(node):
        parts = [ast.unparse(part) for part in ast.walk(node.test) if isinstance(part, ast.Attribute)]
        return any(re.search(r"(stopping|_ended)\.(is_set|wait)$", part) for part in parts)

    def says_why(path, node):
        lines = path.read_text().splitlines()[: node.lineno - 1]
        comment = itertools.takewhile(lambda line: line.lstrip().startswith("#"), reversed(lines))
        return "A loop of its own" in " ".join(comment)

    found = [
        where(path, node)
        for path, tree in sources("workers")
        if path != ROOT / "workers/process/loop.py"
        for node in ast.walk(tree)
        if isinstance(node, ast.While) and waits_for_a_stop(node) and not says_why(path, node)
    ]
    assert found == []


def test_waits_grow_in_the_backoff_alone():
    """A limit that doubles, as `min(2 * seconds, longest)` or `2 ** failures`, is a backoff written by hand."""

    def is_time(node):
        return any(
            isinstance(part, ast.Name | ast.Attribute) and ast.unparse(part).endswith(("_seconds", "_us"))
            for part in ast.walk(node)
        )

    def doubles(node):
        return any(isinstance(part, ast.BinOp) and ast.unparse(part.left) in ("2", "2.0") for part in ast.walk(node))

    found = [
        where(path, node)
        for path, tree in sources("app", "workers")
        if path != ROOT / "app/runtime/backoff.py"
        for node in calls(tree, "min")
        if is_time(node) and doubles(node)
    ]
    found += [where(path, node) for path, tree in sources("app", "workers") for node in calls(tree, "random.uniform")]
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
