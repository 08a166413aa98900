import pytest

from tests.processes import run

DSN = "postgresql://nobody@localhost/nothing"
KEY = {"KALSHI_API_KEY_ID": "a952bcbe-ec3b-4b5b-b8f9-11dae589608c"}
MISSING = {
    "gatherer": [
        ({}, "A gatherer needs its two databases."),
        ({"KALSHI_TS_DSN": DSN, "KALSHI_META_DSN": DSN}, "WebSockets need an API key."),
        ({"KALSHI_TS_DSN": DSN, "KALSHI_META_DSN": DSN, **KEY}, "The API key is incomplete."),
    ],
    "deduplicator": [
        ({"KALSHI_PRODUCTION_DSN": DSN}, "The deduplicator needs databases."),
        (
            {
                "KALSHI_PRODUCTION_DSN": DSN,
                "KALSHI_GATHERER_DSNS": f"one={DSN}",
                "KALSHI_GATHERER_META_DSNS": f"two={DSN}",
            },
            "named for metadata only",
        ),
    ],
    "maintainer": [({}, "There is no database to maintain.")],
    "exporter": [({}, "There is no database to export.")],
    "archiver": [
        ({}, "KALSHI_TS_DSN and KALSHI_LAKE are not set."),
        ({"KALSHI_TS_DSN": DSN}, "KALSHI_LAKE is not set."),
    ],
}


@pytest.mark.parametrize(
    ("process", "settings", "reason"), [(process, *case) for process, cases in MISSING.items() for case in cases]
)
def test_what_a_process_cannot_do_without_is_said_before_it_runs(process, settings, reason):
    done = run("-m", "workers", process, "--check-config", **settings)
    assert (done.returncode, reason in done.stderr) == (2, True), done.stderr


def test_settings_that_are_enough_are_fine():
    done = run("-m", "workers", "maintainer", "--check-config", KALSHI_TS_DSN=DSN)
    assert (done.returncode, done.stdout) == (0, "The settings are valid.\n"), done.stderr
