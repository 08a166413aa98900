"""Work in gevent's threads: what it raises is its caller's, and nobody else hears of it."""

import json

import pytest

from app.runtime.threads import threads
from tests.processes import run

PROGRAM = """
from gevent import monkey
monkey.patch_all()
from app.runtime.threads import threads

offload = threads(1)
for wrong in (KeyError("the reason"), SystemExit(3)):
    def work():
        raise wrong
    try:
        offload(work)
    except BaseException as error:
        assert error is wrong
assert offload(divmod, 7, 2) == (3, 1)
assert offload(sorted, [2, 1], reverse=True) == [2, 1]
print("{}")
"""


def test_what_work_raises_is_raised_in_its_caller_and_printed_nowhere():
    done = run("-c", PROGRAM)
    assert json.loads(done.stdout) == {}
    assert done.stderr == ""


def test_a_traceback_tells_where_in_the_thread_it_was():
    def deep():
        raise LookupError("the reason")

    with pytest.raises(LookupError) as raised:
        threads(1)(deep)
    assert raised.traceback[-1].name == "deep"
