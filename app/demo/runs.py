"""Run the whole platform in front of the simulated exchange, and prove what it recorded.

In: settings and options of the demo. Out: a summary. Also runs it in front of the real exchange, where no proof is
possible.
"""

import os
import time
from datetime import UTC, datetime
from pathlib import Path

from app.demo.exchange import ChaosStep, SimulatedExchange, chaos
from app.demo.platform import Platform
from app.demo.processes import GATHERERS, stop_request, wait_until
from app.demo.proof import archive, evidence_of, why_not_judged, why_not_known
from app.demo.screen import Screen, watch
from app.demo.summary import Summary, summary_of
from app.errors import OperatorError, SettingsError
from app.postgres.connection import connected
from app.runtime.clock import now_us
from app.settings import Settings
from app.status.readings import asked_over, read_verdict

JUDGED_SECONDS = 60.0
# The audit looks a minute to either side. Two histories have markets with the same names, whose changes must not meet.
APART_SECONDS = 62.0


def new_run(settings: Settings) -> Path:
    """Create the folder for the logs and the truth of this start."""
    run = settings.data_dir / "demo" / "runs" / datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    try:
        run.mkdir(parents=True)
    except OSError as error:
        raise OperatorError(
            f"The folder {run} cannot be created.",
            str(error),
            "set KALSHI_DATA_DIR to a folder that this user may write.",
        ) from error
    return run


def too_soon_seconds(runs: Path, now_seconds: float) -> float:
    """Return how long to wait, so that this history begins long enough after the last one."""
    ends = [file.stat().st_mtime for file in runs.glob("*/truth/history.jsonl")]
    return max(0.0, max(ends, default=0.0) + APART_SECONDS - now_seconds)


def run_simulated(settings: Settings, screen: Screen, seconds: float | None, *, with_chaos: bool) -> Summary:
    """Run for this long, or until the user stops it, and return the summary."""
    if pause_seconds := too_soon_seconds(settings.data_dir / "demo" / "runs", time.time()):
        screen.tell(f"The last exchange ended just now: another one begins in {pause_seconds:.0f} s.")
        time.sleep(pause_seconds)
    run = new_run(settings)
    exchange = SimulatedExchange(settings.data_dir / "demo" / "exchange", run, int(time.time()))
    platform = Platform(settings, run)
    screen.tell(f"Starting databases, an exchange, three gatherers and what makes one record of theirs; logs: {run}")
    try:
        exchange.start()
        names = {name: exchange.settings(number) for number, name in enumerate(GATHERERS)}
        with platform.running(names, screen.tell):
            ready_us = now_us()
            deeds = list(chaos(platform, exchange, seconds)) if with_chaos and seconds else []
            _record(platform, exchange, screen, seconds, deeds)
            _drain(platform, exchange, screen, ready_us)
            screen.tell("Comparing production with what happened.")
            return summary_of(evidence_of(exchange.truth, platform.production, ready_us))
    finally:
        exchange.kill()


def _record(
    platform: Platform, exchange: SimulatedExchange, screen: Screen, seconds: float | None, deeds: list[ChaosStep]
) -> None:
    with stop_request() as stopping:
        watch(platform, screen, stopping, seconds, deeds)
    exchange.check()


def _drain(platform: Platform, exchange: SimulatedExchange, screen: Screen, ready_us: int) -> None:
    """Stop the processes in the order in which data flows, so that nothing is under way at the end."""
    screen.tell("Waiting until all gatherers listen, and it is known who heard what.")
    wait_until(platform.why_not_ready, JUDGED_SECONDS)
    # While the exchange still runs: gatherers claim nothing beyond the latest time that it sent.
    until_us = now_us()
    wait_until(lambda: why_not_known(platform.production, until_us), JUDGED_SECONDS)
    with connected(platform.production) as connection:
        screen.tell(read_verdict(asked_over(connection), list(platform.recorders)).sentence)
    screen.tell("Stopping the exchange's clock; waiting until all is told, recorded, merged and judged.")
    exchange.stop_the_clock()
    platform.stop_recording()
    wait_until(lambda: why_not_judged(platform.production, ready_us), JUDGED_SECONDS)
    platform.stop_merging()
    screen.tell(f"Writing all of it to the lake, and reading that back: {platform.lake}")
    archive(platform, exchange.started_us)
    platform.stop_archiving()
    exchange.stop()


# One gatherer in front of the real exchange: the same platform, smaller, with nothing to compare it with.

# Passed on unchanged, since a secret may be given only as the path of a file.
PASSED_ON = (
    "KALSHI_ENVIRONMENT",
    "KALSHI_REST_URL",
    "KALSHI_WS_URL",
    "KALSHI_API_KEY_ID",
    "KALSHI_API_PRIVATE_KEY",
    "KALSHI_COMBOS",
)
KEY_FILE = "KALSHI_API_PRIVATE_KEY_FILE"


def run_live(settings: Settings, screen: Screen, seconds: float | None) -> None:
    """Record the real exchange with one gatherer."""
    if settings.api_key_id is None or settings.api_private_key is None:
        raise SettingsError(
            "There is no key for the exchange.",
            "KALSHI_API_KEY_ID and KALSHI_API_PRIVATE_KEY_FILE are both needed.",
            "set them, or leave --live out.",
        )
    platform = Platform(settings, new_run(settings))
    screen.tell("Starting databases, a gatherer and a deduplicator in front of the real exchange.")
    started_us = now_us()
    with platform.running({"live": _given()}, screen.tell):
        with stop_request() as stopping:
            watch(platform, screen, stopping, seconds, [])
        platform.stop_recording()
        platform.stop_merging()
        archive(platform, started_us)
        platform.stop_archiving()


def _given() -> dict[str, str]:
    given = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    if KEY_FILE in os.environ:
        # The platform's processes run in another folder.
        given[KEY_FILE] = str(Path(os.environ[KEY_FILE]).resolve())
    return given
