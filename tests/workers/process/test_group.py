from tests.processes import run

GREENLETS = """
from gevent import monkey
monkey.patch_all()
from workers.process.group import Group

group = Group()

def fail():
    raise LookupError("the reason")

def wait():
    group.stopping.wait()
    print("asked to stop")

group.spawn(wait)
group.spawn({first})
group.run_until_stopped()
print("all ended")
"""


def test_one_failure_stops_all_and_ends_the_process_with_its_traceback():
    done = run("-c", GREENLETS.format(first="fail"))
    assert done.returncode == 1
    assert done.stdout == "asked to stop\n"
    assert "LookupError: the reason" in done.stderr


def test_when_all_have_ended_the_process_goes_on():
    done = run("-c", GREENLETS.format(first="group.stopping.set"))
    assert (done.returncode, done.stdout) == (0, "asked to stop\nall ended\n")
