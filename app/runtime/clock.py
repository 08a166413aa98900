"""Read this host's clocks. They are alone in this file: everything imports it, so it imports nothing of ours."""

import time


def now_us() -> int:
    return time.time_ns() // 1_000


def steady_seconds() -> float:
    """Return a time for ages and timers: it is never set, and runs on while the process or the host is stopped."""
    # CLOCK_MONOTONIC stops while a host is suspended: data from before would seem only seconds old.
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def steady_us() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000
