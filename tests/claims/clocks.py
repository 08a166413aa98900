"""One true time, and what each host's clocks make of it. While they are installed, no real clock is read."""

import time
from contextlib import contextmanager

import gevent

from app.runtime.events import Event
from tests.claims.moments import BEGINNING_US, SECOND_US

REAL = {
    name: getattr(time, name) for name in ("time_ns", "monotonic", "monotonic_ns", "clock_gettime", "clock_gettime_ns")
}


class TrueTime:
    def __init__(self):
        self.now_us = BEGINNING_US


class HostClock:
    """The wall clock may be wrong, and the monotonic one stands still while the host is suspended."""

    def __init__(self, true_time, skew_us=0):
        self.true_time = true_time
        self.skew_us = skew_us
        self.suspended_us = 0

    def wall_us(self):
        return self.true_time.now_us + self.skew_us

    def boottime_us(self):
        return self.true_time.now_us - BEGINNING_US + 1_000 * SECOND_US

    def monotonic_us(self):
        return self.boottime_us() - self.suspended_us


class Clocks:
    """Whose clocks are read is said by whoever lets a host run: one at a time does."""

    def __init__(self, true_time):
        self.exact = self._current = HostClock(true_time)

    @contextmanager
    def of(self, clock):
        before, self._current = self._current, clock
        try:
            yield
        finally:
            self._current = before

    @contextmanager
    def installed(self):
        time.time_ns = lambda: self._current.wall_us() * 1_000
        time.monotonic = lambda: self._current.monotonic_us() / SECOND_US
        time.monotonic_ns = lambda: self._current.monotonic_us() * 1_000
        time.clock_gettime = lambda kind: self._read_us(kind) / SECOND_US
        time.clock_gettime_ns = lambda kind: self._read_us(kind) * 1_000
        try:
            yield
        finally:
            for name, real in REAL.items():
                setattr(time, name, real)

    def _read_us(self, kind):
        reads = {
            time.CLOCK_REALTIME: self._current.wall_us,
            time.CLOCK_BOOTTIME: self._current.boottime_us,
            time.CLOCK_MONOTONIC: self._current.monotonic_us,
        }
        return reads[kind]()


class Waiting:
    """A process's event of being stopped, whose waits take the host's time: wake() lets them look at their clock."""

    def __init__(self):
        self._turn = Event()  # of those who wait now
        self._linked = {}
        self._is_set = False

    def is_set(self):
        return self._is_set

    def set(self):
        self._is_set = True
        self.wake()

    def wake(self):
        turn, self._turn = self._turn, Event()
        turn.set()

    def wait(self, timeout=None):
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self._is_set and (deadline is None or time.monotonic() < deadline):
            self._turn.wait()
        return self._is_set

    def rawlink(self, callback):
        """For those who wait for something else too."""
        self._linked[callback] = self._turn
        self._turn.rawlink(callback)

    def unlink(self, callback):
        self._linked.pop(callback).unlink(callback)


def wait_for_any(objects, _real_seconds=None, *, count=None):
    """In place of gevent.wait: time is the host's, and whoever waits looks at its clock when it is woken."""
    return gevent.wait(objects, count=count)
