"""A gatherer's host: what may happen to it, to its network, its clocks, its disk and its database."""

import shutil
import tempfile
from pathlib import Path

from app.postgres.databases import DatabaseKind
from app.storage.spool.segments import MARK, record
from tests.claims.clocks import HostClock
from tests.claims.process import Process

UNFINISHED = record(b"as many bytes as a record has, of which not all are there", 0)[:-1]
MEMORY = Path("/dev/shm")  # noqa: S108 - where files cost nothing to sync


class Host:
    def __init__(self, name, laboratory, exchange, clocks, skew_us=0):
        self.name = name
        self.clock = HostClock(exchange.true_time, skew_us)
        self.timeseries = laboratory.database(DatabaseKind.TIMESERIES)
        self.is_suspended = False
        self.is_online = True
        self.is_writing = True  # its writers have their turn
        self.process = None
        self._asleep_since_us = 0
        self.exchange = exchange
        self._clocks = clocks
        self.folder = Path(tempfile.mkdtemp(prefix="kalshi-claims-", dir=MEMORY if MEMORY.is_dir() else None))

    def start(self):
        if self.process is None and not self.is_suspended:
            with self._clocks.of(self.clock):
                self.process = Process(self)
                self.process.start()
            self.run()

    def kill(self):
        if self.process:
            self.process.kill()
            self.process = None

    def stop(self):
        if self.process:
            with self._clocks.of(self.clock):
                self.process.stop()
            self.process = None

    def close(self):
        self.kill()
        shutil.rmtree(self.folder)
        self.timeseries.drop()

    def repair(self):
        self.is_online = self.is_writing = True
        self.timeseries.set_away(False)
        self.start()

    def set_online(self, is_online):
        """Its sockets end when the network goes."""
        self.is_online = is_online
        for line in self.lines if not is_online else ():
            line.end()

    def fall_asleep(self, is_cut):
        """Cut: what the exchange goes on sending is lost on the way."""
        for line in self.lines if is_cut else ():
            line.is_fed = False
        self.is_suspended = True
        self._asleep_since_us = self.clock.true_time.now_us

    def wake_up(self):
        self.is_suspended = False
        self.clock.suspended_us += self.clock.true_time.now_us - self._asleep_since_us

    @property
    def has_spooled(self):
        return bool(self._spool_files())

    def damage_spool(self, file, percent, bit):
        for path in self._spool_files()[file : file + 1]:
            content = bytearray(path.read_bytes())
            content[percent * len(content) // 100] ^= 1 << bit
            path.write_bytes(bytes(content))

    def damage_length(self, file, bit):
        """Of a file's last record: more seems to be missing than is there, or less."""
        for path in self._spool_files()[file : file + 1]:
            content = bytearray(path.read_bytes())
            length = content.rfind(MARK) + len(MARK) + bit // 8
            # Of a record that was torn, not even the length may be there.
            if MARK in content and length < len(content):
                content[length] ^= 1 << bit % 8
                path.write_bytes(bytes(content))

    def tear_spool(self, file, percent):
        """The last append came to no end: what it wrote is nobody's yet."""
        self.kill()
        for path in self._spool_files()[file : file + 1]:
            with path.open("ab") as spooled:
                spooled.write(UNFINISHED[: percent * len(UNFINISHED) // 100])

    def run(self):
        """Whatever its process has to do now, but for writing."""
        if self.process and not self.is_suspended:
            with self._clocks.of(self.clock):
                self.process.run()

    def write(self):
        if self.process and self.is_writing and not self.is_suspended:
            with self._clocks.of(self.clock):
                self.process.write()

    @property
    def lines(self):
        return self.process.lines if self.process else []

    def _spool_files(self):
        return sorted(self.folder.rglob("*.spool"))
