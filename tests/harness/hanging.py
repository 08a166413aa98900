"""End a test that hangs, also one that has failed before. It stands alone: its own test loads it without the others.

pytest ends a test after faulthandler_timeout seconds (setup.cfg) and prints the stacks of its threads. But it stops
counting when something fails, in case a debugger asks a person then: a test that fails and hangs in its teardown would
hang for ever.

The whole process ends, without teardowns: beside other workers, xdist reports the test as the one at which its worker
crashed, and has another worker do the rest. Servers end with the process that started them; other processes that the
test has started are left. The limits of the targets that run tests of many minutes are in the Makefile.
"""

import faulthandler

import pytest
from _pytest.faulthandler import (
    fault_handler_stderr_fd_key,
    get_exit_on_timeout_config_value,
    get_timeout_config_value,
)


@pytest.hookimpl(trylast=True)
def pytest_exception_interact(node):
    """Count anew after a failure, and after the debugger if there is one."""
    if isinstance(node, pytest.Item) and (seconds := get_timeout_config_value(node.config)) > 0:
        faulthandler.dump_traceback_later(
            seconds,
            file=node.config.stash[fault_handler_stderr_fd_key],
            exit=get_exit_on_timeout_config_value(node.config),
        )
