"""A disk that keeps what was synced, and loses what it likes of the rest when the power is cut."""

import contextlib
import errno
import os
import stat
from pathlib import Path


class PowerCutError(Exception):
    """Nothing after it is executed."""


class Disk:
    """Watches what is done to one folder: writes, syncs and names. `faults` says at which of these calls, counted from 1,
    something happens: "cut", or a number of errno."""

    def __init__(self, folder, shadows, faults):
        self.folder = folder
        self.calls = 0
        self._shadows = shadows  # files are kept here under their inodes' numbers, also when they were removed
        self._faults = faults
        self._is_cut = False
        self._synced = {}
        self._spoilt = set()  # inodes whose sync failed: their pages are clean now, and were never written
        self._listings = [{}]  # what names may be there after a power cut, oldest first
        for path in (folder, shadows):
            path.mkdir()

    @contextlib.contextmanager
    def watched(self):
        own = {"write": self._write, "fsync": self._fsync, "ftruncate": self._ftruncate}
        own |= {name: self._changing_names(name) for name in ("open", "rename", "unlink")}
        self._real = {name: getattr(os, name) for name in own}
        for name, function in own.items():
            setattr(os, name, function)
        try:
            yield
        finally:
            for name, function in self._real.items():
                setattr(os, name, function)

    def after_the_cut(self, choose, folder):
        """Makes the folder as a power cut at this moment may leave it. Of what is chosen from, the first is the least."""
        folder.mkdir()
        for name, inode in choose(self._listings).items():
            (folder / name).write_bytes(self._left_of(choose, inode))

    def _left_of(self, choose, inode):
        synced, current = self._synced.get(inode, b""), (self._shadows / str(inode)).read_bytes()
        if inode in self._spoilt:
            return synced
        if not current.startswith(synced):
            return choose([synced, current])
        end = choose(range(len(synced), len(current) + 1))
        # Its size may have come to the disk before its bytes.
        hollow = choose(range(end, len(current) + 1))
        return current[:end] + bytes(hollow - end)

    def _fault(self):
        if self._is_cut:
            raise PowerCutError
        self.calls += 1
        fault = self._faults.get(self.calls)
        if fault == "cut":
            self._is_cut = True
        return fault

    def _is_watched(self, descriptor):
        return Path(f"/proc/self/fd/{descriptor}").readlink().is_relative_to(self.folder)

    def _write(self, descriptor, content):
        if not self._is_watched(descriptor):
            return self._real["write"](descriptor, content)
        if fault := self._fault():
            self._real["write"](descriptor, bytes(content)[: len(content) // 2])
            raise _error(fault)
        return self._real["write"](descriptor, content)

    def _fsync(self, descriptor):
        if not self._is_watched(descriptor):
            return
        fault, found = self._fault(), os.fstat(descriptor)
        if fault:
            self._spoilt |= {found.st_ino} if fault != "cut" else set()
            raise _error(fault)
        names = self._names()  # of files, too, that were not opened through us
        if stat.S_ISDIR(found.st_mode):
            self._listings = [names]
        elif found.st_ino not in self._spoilt:
            self._synced[found.st_ino] = (self._shadows / str(found.st_ino)).read_bytes()

    def _ftruncate(self, descriptor, size):
        if self._is_watched(descriptor) and (fault := self._fault()):
            raise _error(fault)
        self._real["ftruncate"](descriptor, size)

    def _changing_names(self, name):
        def change(path, *others, **options):
            if not Path(path).is_relative_to(self.folder):
                return self._real[name](path, *others, **options)
            if (name != "open" or others[0] & os.O_CREAT) and (fault := self._fault()):
                raise _error(fault)
            done = self._real[name](path, *others, **options)
            names = self._names()
            if names != self._listings[-1]:
                self._listings.append(names)
            return done

        return change

    def _names(self):
        names = {}
        for path in self.folder.iterdir():
            inode = names[path.name] = path.stat().st_ino
            shadow = self._shadows / str(inode)
            if not shadow.exists():
                os.link(path, shadow)
        return names


def _error(fault):
    return PowerCutError() if fault == "cut" else OSError(fault, os.strerror(fault))


FULL, BROKEN = errno.ENOSPC, errno.EIO
