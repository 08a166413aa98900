"""Which worker runs what: tests that share a server or a process stay together, and what takes long begins first."""

import pytest
from xdist.scheduler import LoadScopeScheduling

# A test of these starts a whole platform, or a gatherer before a whole exchange, and needs a core for itself: two at a
# time, while the other workers do all the rest.
PLATFORMS = "tests/faults/"
# In the order of what a file takes, so that no long one is left for the end.
FIRST = (
    PLATFORMS,
    "tests/claims/",
    "tests/lake/test_rebuild",
    "tests/admin/",
    "tests/workers/",
    "tests/simulator/",
    "tests/postgres/",
    "tests/lake/",
    "tests/demo/test_live",
    "tests/merge/",
    "tests/cli/",
)


class LongestFirst(LoadScopeScheduling):
    def _split_scope(self, nodeid):
        file = nodeid.split("::")[0]
        if file.startswith(PLATFORMS):
            return "a gatherer" if "a_gatherer" in file else "a platform"
        return file


def rank(nodeid):
    return next((place for place, prefix in enumerate(FIRST) if nodeid.startswith(prefix)), len(FIRST))


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: rank(item.nodeid))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    config.option.loadscopereorder = False
    return LongestFirst(config, log)
