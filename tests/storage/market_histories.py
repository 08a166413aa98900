"""Histories of a market that an exchange could have, as several recorders hear them, with the truth: for the book at a
time. Times are milliseconds since noon."""

from typing import NamedTuple

from hypothesis import strategies as st

SECOND = 1_000
HOUR = 3_600_000
RECORDERS = 3
NO_CLOCK = -1
LARGEST_STEP = 5
PRICES_E6 = (100_000, 200_000)
DELAYS = (10, 20, 60)


class Event(NamedTuple):
    """A change at the exchange."""

    number: int
    at: int
    clock: int
    ts_missing: bool
    yes_side: bool
    price_e6: int
    delta_e2: int


class Heard(NamedTuple):
    """What production has of it."""

    event: Event
    stamp: int
    received: int


class Taken(NamedTuple):
    """A snapshot."""

    stamp: int
    received: int
    clock: int
    events: int  # so many it holds
    levels: dict


class Recorder:
    """Its socket tells everything in order: what a snapshot lacks comes after it."""

    def __init__(self):
        self.is_connected = False
        self.told = 0
        self.received = 0

    def receive(self, sent, delay):
        self.received = max(self.received, sent + delay)
        return self.received


class History:
    """Grows by what is drawn; afterwards `heard` and `taken` are the record, and `book(at)` the truth."""

    def __init__(self, draw):
        self._draw = draw
        self.now = 0
        self.events = []
        self.heard = {}
        self.taken = []
        self._clock = self._draw(st.sampled_from([0, 0, 900]))
        self._restarts = [(0, 0, self._clock)]  # when, after how many events, to which clock
        self._recorders = [Recorder() for _ in range(RECORDERS)]
        self._outages = []
        self._back_since = 0  # after the last one
        self._action = None  # that goes on: when, and its clock
        self._has_clocks = True

    def change(self):
        self.now += self._draw(st.sampled_from([0, 1, 40, 400, 5 * SECOND, 100 * SECOND]))
        level = (self._draw(st.booleans()), self._draw(st.sampled_from(PRICES_E6)))
        here = self.levels(len(self.events)).get(level, 0)
        # A snapshot holds all changes of its clock.
        is_same_action = self._action == (self.now, self._clock)
        self._clock += self._draw(st.sampled_from([0, 1, LARGEST_STEP] if is_same_action else [1, 1, LARGEST_STEP]))
        self._happen(level, self._draw(st.sampled_from([100, 200, *([-here] if here else [])])))

    def snapshot(self):
        """A recorder asks for the book again, or joins anew; then what it gets may be of a while ago."""
        self.now += self._draw(st.sampled_from([0, 3, 700, 70 * SECOND]))
        recorder = self._draw(st.sampled_from(self._recorders))
        if not recorder.is_connected or self._draw(st.booleans()):
            recorder.told = 0
        self._take(recorder, self._draw(st.sampled_from([0, 0, 2, 300, 30 * SECOND])))

    def restart(self):
        """Of the clocks alone: sockets stay, and so do the orders. Clocks that were small cannot be seen to fall."""
        of_run = self.events[self._restarts[-1][1] :]
        if not of_run or max((event.clock for event in of_run if not event.ts_missing), default=0) <= LARGEST_STEP:
            return
        self.now += 1_100
        self._begin_clocks_anew()
        self.now += self._draw(st.sampled_from([0, 5 * SECOND, HOUR]))

    def stop_clocks(self):
        """From now on the exchange tells none. Only times say then what a book holds: they are taken as true."""
        self._has_clocks = False
        self.now += 1

    def outage(self):
        """Nobody is connected, for a second or for hours, and what happens then nobody hears."""
        self.now += self._draw(st.sampled_from([0, 20, SECOND]))
        began = self.now
        for recorder in self._recorders:
            recorder.is_connected, recorder.told = False, 0
        self.now += self._draw(st.sampled_from([1_100, 20 * SECOND, 3 * HOUR]))
        if self._draw(st.booleans()):
            self._begin_clocks_anew()
        for _ in range(self._draw(st.integers(0, 3))):
            # At a price of its own: else the book could be by chance what it once was.
            self._clock += 1
            self._happen((True, 500_000 + len(self.events)), 100)
        self._back_since = self.now
        self.now += self._draw(st.sampled_from([0, 600]))
        for recorder in self._draw(st.permutations(self._recorders))[: self._draw(st.integers(1, RECORDERS))]:
            self._take(recorder, self._draw(st.sampled_from([0, 0, 2, 300])))
            self.now += self._draw(st.sampled_from([0, 4]))
            if self._draw(st.booleans()):
                self.change()
        self._outages.append((began, min(taken.stamp for taken in self.taken if taken.stamp > began)))

    def levels(self, events):
        book = {}
        for event in self.events[:events]:
            level = (event.yes_side, event.price_e6)
            book[level] = book.get(level, 0) + event.delta_e2
        return {level: size for level, size in book.items() if size}

    def book(self, at):
        """None: nobody can know it exactly."""
        stamps = {heard.event.number: heard.stamp for heard in self.heard.values()}
        is_unheard = any(began <= at < ended for began, ended in self._outages)
        is_on_its_way = any(event.at <= at < stamps.get(event.number, 0) for event in self.events)
        is_ahead = any(
            taken.stamp
            <= at
            < max((stamps.get(event.number, event.at) for event in self.events[: taken.events]), default=0)
            for taken in self.taken
        )
        if at < self.taken[0].stamp or is_unheard or is_on_its_way or is_ahead:
            return None
        return self.levels(sum(event.at <= at for event in self.events))

    def moments(self):
        stamps = {heard.stamp for heard in self.heard.values()} | {taken.stamp for taken in self.taken}
        return sorted({*stamps, *(stamp + 1 for stamp in stamps), self.now, self.now + 200 * SECOND})

    def _begin_clocks_anew(self):
        self._clock = 0
        self._restarts.append((self.now, len(self.events), 0))

    def _happen(self, level, delta_e2):
        # Clocks that began anew unnoticed are told by the first change that says its time.
        is_first = self._restarts[-1][1] == len(self.events)
        ts_missing = self._has_clocks and not is_first and self._draw(st.sampled_from([False] * 4 + [True]))
        clock = self._clock if self._has_clocks else NO_CLOCK
        event = Event(len(self.events), self.now, clock, ts_missing, *level, delta_e2)
        self.events.append(event)
        self._action = (self.now, self._clock)
        copies = []
        for recorder in self._recorders:
            if recorder.is_connected:
                recorder.told = len(self.events)
                sent = self.now + self._draw(st.sampled_from([0, 5]))
                copies.append((sent, recorder.receive(sent, self._draw(st.sampled_from(DELAYS)))))
        if copies:
            # Production keeps the copy that comes first to it, whoever received it first.
            self._record(event, *self._draw(st.sampled_from(copies)))

    def _record(self, event, sent, received):
        self.heard.setdefault(event.number, Heard(event, sent if event.ts_missing else event.at, received))

    def _take(self, recorder, late):
        if not self._has_clocks:
            self._take_without_clock(recorder)
            return
        of_time, of_events, clock = self._restarts[-1]
        since = max(self.now - late, of_time, self._back_since)
        events = max(sum(event.at <= since for event in self.events), recorder.told, of_events)
        if events > of_events:
            clock = self.events[events - 1].clock
        if not late:
            events, clock = len(self.events), self._clock
        received = recorder.receive(self.now, self._draw(st.sampled_from(DELAYS)))
        stamp = self.now - self._draw(st.sampled_from([0, 0, 0, 2, 400]))
        self._action = None
        self.taken.append(Taken(stamp, received, clock, events, self.levels(events)))
        for event in self.events[events:]:
            self._record(event, self.now, recorder.receive(self.now, 1))
        recorder.is_connected, recorder.told = True, len(self.events)

    def _take_without_clock(self, recorder):
        """No change shares the millisecond of the book."""
        self.now += 1
        events = len(self.events)
        received = recorder.receive(self.now, self._draw(st.sampled_from(DELAYS)))
        self.taken.append(Taken(self.now, received, NO_CLOCK, events, self.levels(events)))
        recorder.is_connected, recorder.told = True, events
        self.now += 1


STEPS = st.lists(st.sampled_from(["change"] * 5 + ["snapshot", "restart", "outage"]), max_size=12)


@st.composite
def histories(draw):
    history = History(draw)
    history.snapshot()
    for step in draw(STEPS):
        getattr(history, step)()
    return history


@st.composite
def histories_whose_clocks_stop(draw):
    history = draw(histories())
    for step in ["stop_clocks", *draw(STEPS), "outage", *draw(STEPS)]:
        getattr(history, step)()
    return history
