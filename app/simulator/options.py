from pathlib import Path
from typing import Literal

import msgspec

from app.simulator.error_bodies import Shape
from app.simulator.limits import Limits


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How one simulator runs."""

    host: str = "127.0.0.1"
    rest_port: int = 0
    websocket_port: int = 0
    control_port: int = 0
    certificate: Path | None = None
    wire: Literal["dollars", "cents"] = "dollars"
    seed: int = 1
    markets: int = 1_000
    changes_per_second: int = 200
    start_us: int
    speed: float = 1.0
    stop_after_seconds: float | None = None
    truth: Path
    demo_keys: Path
    public_keys: dict[str, Path] = {}
    plan: Path | None = None
    tier: str = "basic"
    error_shape: Shape = "nested"
    hidden_seconds: float = 0.0
    live_days: int = 60
    signature_tolerance_seconds: float = 30.0
    blast: bool = False
    limits: Limits = Limits()
