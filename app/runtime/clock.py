"""The clocks of this host. It stands alone: whatever needs the time must need nothing else."""

import time


def now_us() -> int:
    return time.time_ns() // 1_000


def steady_seconds() -> float:
    """For ages and timers: nobody sets this clock, and it goes on while the process or the whole host is stopped."""
    # CLOCK_MONOTONIC stands still while a host is suspended: what was heard before would seem to be seconds old.
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def steady_us() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000
