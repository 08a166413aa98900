"""One gatherer in front of the real exchange: the same platform in small, and nothing to compare it with."""

import os
from pathlib import Path

from app.clock import now_us
from app.demonstration.archiving import archive
from app.demonstration.platform import Platform
from app.demonstration.screen import Screen
from app.demonstration.simulated import new_run
from app.demonstration.stop_request import stop_request
from app.demonstration.watching import watch
from app.errors import SettingsError
from app.settings import Settings

# As they came to us: a secret may be in a file that only its path is known of.
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
    if settings.api_key_id is None or settings.api_private_key is None:
        raise SettingsError(
            "There is no key for the exchange.",
            "KALSHI_API_KEY_ID and KALSHI_API_PRIVATE_KEY_FILE are both needed.",
            "set them, or leave --live out.",
        )
    platform = Platform(settings, new_run(settings))
    screen.tell("Starting databases, a gatherer and a deduplicator in front of the real exchange.")
    started_us = now_us()
    with platform.running({"live": _given()}):
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
