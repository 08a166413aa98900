"""Histories of a platform that anything may happen to, drawn one step after the other."""

import functools
import itertools

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from tests.claims.archive import drop_what_may_go
from tests.claims.invariants import Invariants
from tests.claims.moments import BEGINNING_US, SECOND_US
from tests.claims.platform import NAMES, Platform

# What histories may be made of: rules that are declared below, by what they are about.
DRAWS = set()
SKEWS = st.integers(-5_000, 5_000).map(lambda milliseconds: milliseconds * 1_000)
GATHERERS = st.sampled_from(NAMES)
LINES = st.integers(0, 2)
PERCENT = st.integers(0, 99)


def told(function):
    """A step that a history tells of, as a line that repeats it."""

    @functools.wraps(function)
    def step(self, **drawn):
        self.story.append(f"{function.__name__}({', '.join(f'{name}={value!r}' for name, value in drawn.items())})")
        try:
            function(self, **drawn)
        except AssertionError as error:
            self.note(error)
            raise

    return step


def may_happen(draw, **strategies):
    """A rule after which time passes, and the deduplicator works or does not."""
    DRAWS.add(draw)

    def decorate(function):
        @precondition(lambda self: draw in self.draws)
        @rule(**strategies, then=st.sampled_from([0, 1, 3]), works=st.booleans())
        @told
        @functools.wraps(function)
        def step(self, then, works, **drawn):
            function(self, **drawn)
            self.checks.check()
            self.platform.pass_time(then)
            if works:
                self.platform.work_on_everything()
                self.checks.check()

        return step

    return decorate


class Claims(RuleBasedStateMachine):
    laboratory = None
    draws = DRAWS
    histories = events = false_claims = seed = 0
    shortest = None  # of the histories that make a false claim, with the claim

    def __init__(self):
        super().__init__()
        self.platform = None
        self.story = []

    @initialize(skew_us=SKEWS)
    @told
    def begin(self, skew_us):
        type(self).histories += 1
        self.platform = Platform(self.laboratory)
        self.checks = Invariants(self.platform)
        self._late_markets = itertools.count(1)
        self.platform.add("a", self._skew(skew_us))

    def teardown(self):
        if self.platform is None:
            return
        try:
            self._settle()
        finally:
            type(self).events += sum(map(len, self.platform.truth.events.values()))
            self.platform.close()

    def note(self, error):
        kind = type(self)
        kind.false_claims += 1
        if kind.shortest is None or len(self.story) < len(kind.shortest[0]):
            kind.shortest = (list(self.story), str(error))

    @told
    def _settle(self):
        self.platform.settle()
        self.checks.check_union()

    def _skew(self, skew_us):
        return skew_us if "skews" in self.draws else 0

    @rule(seconds=st.sampled_from([0.1, 1, 3, 8]))
    @told
    def time_passes(self, seconds):
        self.platform.pass_time(seconds)

    @rule(seconds=st.sampled_from([1, 5]))
    @told
    def all_goes_well(self, seconds):
        self.platform.pass_time(seconds)
        self.platform.work_on_everything()
        self.checks.check()

    # The deduplicator.

    @may_happen("order", name=GATHERERS)
    def rows_are_merged(self, name):
        host = self.platform.host(name)
        if host.name in self.platform.members:
            self.platform.work(lambda deduplicator: deduplicator.merge(host.name))

    @may_happen("order", name=GATHERERS, seconds=st.sampled_from([0, 1]))
    def journal_is_read(self, name, seconds):
        """Rows come in between the look at where tables end and the copying of the journal."""
        host = self.platform.host(name)
        if host.name in self.platform.members:
            self.platform.work(
                lambda deduplicator: deduplicator.follow(host.name, lambda: self.platform.pass_time(seconds))
            )

    @may_happen("crashes", statements=st.integers(1, 150))
    def deduplicator_is_killed(self, statements):
        self.platform.work_on_everything(statements)

    @may_happen("members", skew_us=SKEWS)
    def gatherer_is_added(self, skew_us):
        if len(self.platform.hosts) < len(NAMES):
            self.platform.add(NAMES[len(self.platform.hosts)], self._skew(skew_us))

    @may_happen("members", names=st.sets(GATHERERS, min_size=1))
    def others_are_read(self, names):
        self.platform.set_members(names & self.platform.hosts.keys() or {"a"})

    @may_happen("members", shards=st.integers(1, 3))
    def tables_are_divided_anew(self, shards):
        self.platform.set_shards(shards)

    # The exchange and the way to it.

    @may_happen("losses", name=GATHERERS, line=LINES, messages=st.integers(1, 3))
    def messages_are_left_out(self, name, line, messages):
        for each in self._lines(name, line):
            each.to_lose += messages

    @may_happen("deaths", name=GATHERERS, line=LINES)
    def socket_ends(self, name, line):
        for each in self._lines(name, line):
            each.end()

    @may_happen("deaths", name=GATHERERS, line=LINES)
    def socket_goes_silent(self, name, line):
        for each in self._lines(name, line):
            each.is_fed = False

    @may_happen("deaths", name=GATHERERS, is_online=st.booleans())
    def network_changes(self, name, is_online):
        self.platform.host(name).set_online(is_online)

    @may_happen("late_markets", opened=st.integers(2, 20), closed=st.integers(1, 10))
    def market_is_learnt_of_late(self, opened, closed):
        """Nobody subscribed to its book in its life, which is over."""
        ticker, now_us = f"KX-LATE-{next(self._late_markets)}", self.platform.true_time.now_us
        opens_us = max(now_us - opened * SECOND_US, BEGINNING_US)
        closes_us = min(opens_us + closed * SECOND_US, now_us)
        self.platform.production.set_away(False)
        self.platform.exchange.had(ticker, opens_us, closes_us)
        self.platform.learn_of(ticker, opens_us, closes_us)

    # Hosts.

    @may_happen("suspensions", name=GATHERERS, seconds=st.sampled_from([1, 5, 50]), is_cut=st.booleans())
    def host_sleeps(self, name, seconds, is_cut):
        host = self.platform.host(name)
        host.fall_asleep(is_cut)
        self.platform.pass_time(seconds)
        host.wake_up()

    @may_happen("clocks", name=GATHERERS, skew_us=SKEWS)
    def clock_is_set(self, name, skew_us):
        self.platform.host(name).clock.skew_us = skew_us

    @may_happen("processes", name=GATHERERS)
    def gatherer_is_killed(self, name):
        self.platform.host(name).kill()

    @may_happen("processes", name=GATHERERS)
    def gatherer_stops(self, name):
        self.platform.host(name).stop()

    @may_happen("processes", name=GATHERERS)
    def gatherer_starts(self, name):
        self.platform.host(name).start()

    @may_happen("damage", name=GATHERERS, file=st.integers(0, 3), percent=PERCENT, bit=st.integers(0, 7))
    def spool_is_damaged(self, name, file, percent, bit):
        self._spool(name).damage_spool(file, percent, bit)

    @may_happen("damage", name=GATHERERS, file=st.integers(0, 3), bit=st.integers(0, 31))
    def spooled_length_is_damaged(self, name, file, bit):
        self._spool(name).damage_length(file, bit)

    @may_happen("damage", name=GATHERERS, file=st.integers(0, 3), percent=PERCENT)
    def spool_is_torn(self, name, file, percent):
        """As a host leaves it that loses its power, which ends the process too."""
        self._spool(name).tear_spool(file, percent)

    # Databases.

    @may_happen("outages", name=GATHERERS, is_away=st.booleans())
    def database_goes_or_comes(self, name, is_away):
        self.platform.host(name).timeseries.set_away(is_away)

    @may_happen("outages", name=GATHERERS, is_writing=st.booleans())
    def database_is_slow(self, name, is_writing):
        self.platform.host(name).is_writing = is_writing

    @may_happen("outages", is_away=st.booleans())
    def production_goes_or_comes(self, is_away):
        self.platform.production.set_away(is_away)

    @may_happen("rebuilds", name=GATHERERS)
    def database_is_made_anew(self, name):
        self.platform.host(name).timeseries.make_anew()

    @may_happen("restorations", name=GATHERERS)
    def database_is_backed_up(self, name):
        self.platform.host(name).timeseries.back_up()

    @may_happen("restorations", name=GATHERERS)
    def database_is_put_back(self, name):
        self.platform.host(name).timeseries.restore()

    @may_happen("drops", name=GATHERERS)
    def gatherer_drops_what_is_safe(self, name):
        host = self.platform.host(name)
        if host.name in self.platform.members and not host.timeseries.is_away:
            self.platform.work(lambda deduplicator: deduplicator.confirm(host.name))
            drop_what_may_go(host.timeseries, self.platform.now)

    @may_happen("lake")
    def lake_is_brought_up_to_date(self):
        self.platform.production.set_away(False)
        self.platform.production.set_time(self.platform.true_time.now_us)
        self.platform.lake.bring_up_to_date()
        self.checks.check_lake()

    @may_happen("lake")
    def production_drops_what_is_in_the_lake(self):
        self.platform.production.set_away(False)
        drop_what_may_go(self.platform.production, self.platform.now)
        self.platform.changes += 1

    @may_happen("production")
    def production_is_backed_up(self):
        self.platform.production.set_away(False)
        self.platform.end_deduplicator()
        self.platform.production.back_up()
        self.checks.production_is_backed_up()

    @may_happen("production")
    def production_is_put_back(self):
        if self.platform.production.has_backup:
            self.platform.production.set_away(False)
            self.platform.end_deduplicator()
            self.platform.production.restore()
            self.checks.production_is_put_back()

    def _spool(self, name):
        """A host whose rows wait on disk for its database."""
        host = self.platform.host(name)
        if not host.has_spooled:
            host.timeseries.set_away(True)
            self.platform.pass_time(3)
        return host

    def _lines(self, name, line):
        return self.platform.host(name).lines[line : line + 1]


DRAWS.add("skews")
