"""Become the database server, alone in a process: launcher.py UID GID PARENT PROGRAM ARGUMENT...

It is run by its path in a new process, because these steps must happen after the fork, and a fork in a process with
threads may run hardly any Python. It drops root, then asks the kernel for a fast shutdown (SIGINT) when the parent
dies, in this order because a change of account clears that request.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main(uid: int, gid: int, parent: int, command: list[str]) -> None:
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGINT)
    if os.getppid() != parent:
        sys.exit("The process that wanted a database server died before it could start.")
    os.execv(command[0], command)  # noqa: S606 - the one purpose of this program


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
