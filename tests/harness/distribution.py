"""Which worker runs what: tests that share a server or a process stay together, and what takes long begins first."""

import pytest
from xdist.scheduler import LoadScopeScheduling

# Each test in them starts processes of its own and waits for these: they run one by one, beside each other.
OWN_PROCESSES = ("tests/faults/",)
# The rest in the order of what a file takes, so that no long one is left for the end.
FIRST = (
    *OWN_PROCESSES,
    "tests/lake/test_rebuild",
    "tests/admin/",
    "tests/claims/",
    "tests/workers/",
    "tests/simulator/",
    "tests/lake/",
)


class LongestFirst(LoadScopeScheduling):
    def _split_scope(self, nodeid):
        return nodeid if nodeid.startswith(OWN_PROCESSES) else nodeid.split("::")[0]


def rank(nodeid):
    return next((place for place, prefix in enumerate(FIRST) if nodeid.startswith(prefix)), len(FIRST))


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: rank(item.nodeid))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    config.option.loadscopereorder = False
    return LongestFirst(config, log)
