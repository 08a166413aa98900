"""The whole platform in process: an exchange, gatherers' hosts, one deduplicator, production and a lake."""

from contextlib import ExitStack, nullcontext

from app.coverage.intervals import moment_of
from app.errors import DatabaseError
from app.postgres.databases import DatabaseKind
from tests.claims.archive import LakeFolder
from tests.claims.clocks import Clocks, TrueTime
from tests.claims.deduplicator import Deduplicator, killed_after
from tests.claims.exchange import Exchange
from tests.claims.host import Host
from tests.claims.moments import BEGINNING_US, SECOND_US, minutes
from tests.claims.truth import Truth
from tests.gatherers import put_market

NAMES = ("a", "b", "c")
# So near to every step something happens at the exchange; nearer, journals need not be exact.
MARGIN_US = 5_000
LATENCY_US = 2_000


class Platform:
    def __init__(self, laboratory):
        self.laboratory = laboratory
        self.true_time = TrueTime()
        self.clocks = Clocks(self.true_time)
        self.truth = Truth()
        self.exchange = Exchange(self.truth, self.true_time)
        self.hosts = {}
        self.members = set()  # gatherers that the deduplicator is told to read
        self.shards = 1  # into which it divides every table
        self.changes = 0  # how often production may have changed
        self._deduplicator = None
        with ExitStack() as stack:
            stack.enter_context(self.clocks.installed())
            self.production = laboratory.database(DatabaseKind.PRODUCTION)
            stack.callback(self.production.drop)
            self.lake = LakeFolder(self.production)
            stack.callback(self.lake.close)
            for ticker in self.exchange.markets:
                self.learn_of(ticker, BEGINNING_US)
            self._stack = stack.pop_all()

    def close(self):
        with self._stack:
            self.end_deduplicator()
            for host in self.hosts.values():
                host.close()

    @property
    def now(self):
        return moment_of(self.true_time.now_us)

    def add(self, name, skew_us):
        self.hosts[name] = Host(name, self.laboratory, self.exchange, self.clocks, skew_us)
        self.hosts[name].start()
        self.set_members(self.hosts)

    def host(self, name):
        """The one of this name, or the first: every draw means something."""
        return self.hosts.get(name) or self.hosts["a"]

    def set_members(self, names):
        self.end_deduplicator()
        self.members = set(names)

    def set_shards(self, shards):
        self.end_deduplicator()
        self.shards = shards

    def learn_of(self, ticker, opens_us, closes_us=None):
        """A gatherer has told of a market, and its metadata is here."""
        self.changes += 1
        closes = None if closes_us is None else minutes(closes_us)
        put_market(self.production.dsn, ticker, opens=minutes(opens_us), closes=closes)

    def pass_time(self, seconds):
        """In steps of a second at most; something happens at the beginning and at the end of each."""
        left_us = int(seconds * SECOND_US)
        while left_us > 0:
            step_us = min(left_us, SECOND_US)
            left_us -= step_us
            self._go_on(MARGIN_US)
            if not left_us:
                self._write()
            self._go_on(step_us - 2 * MARGIN_US - LATENCY_US)
            self.true_time.now_us += MARGIN_US - LATENCY_US
        self._write()

    def work(self, *works, statements=None):
        """Some of the deduplicator's work, each as far as the databases that it needs are there."""
        self.changes += 1
        if not self.production.is_away:
            self.production.set_time(self.true_time.now_us)
        with nullcontext() if statements is None else killed_after(statements):
            for do in works:
                try:
                    do(self._working())
                except DatabaseError:
                    continue
        if statements is not None:
            self.end_deduplicator()

    def work_on_everything(self, statements=None):
        names = [name for name in NAMES if name in self.members]
        merges = [lambda deduplicator, name=name: deduplicator.merge(name) for name in names]
        follows = [lambda deduplicator, name=name: deduplicator.follow(name) for name in names]
        self.work(*merges, *follows, lambda deduplicator: deduplicator.judge(self.now), statements=statements)

    def end_deduplicator(self):
        if self._deduplicator is not None:
            self._deduplicator.close()
        self._deduplicator = None

    def settle(self):
        """Everything works again, for long enough, and is brought to its end."""
        self.production.set_away(False)
        for host in self.hosts.values():
            host.repair()
        for seconds in (8, 1, 1):
            self.pass_time(seconds)
            self.work_on_everything()

    def _go_on(self, passed_us):
        self.true_time.now_us += passed_us
        self.exchange.happen()
        self.exchange.ping()
        self.true_time.now_us += LATENCY_US
        for host in self.hosts.values():
            host.run()

    def _write(self):
        for host in self.hosts.values():
            host.write()

    def _working(self):
        if self._deduplicator is None:
            gatherers = {name: self.hosts[name].timeseries.dsn for name in NAMES if name in self.members}
            self._deduplicator = Deduplicator(gatherers, self.production.dsn, self.shards)
        return self._deduplicator
