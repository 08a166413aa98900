"""The simulator as a process, alone in its module: it patches the interpreter, so only its command imports it."""

from gevent import monkey

# Patch before any import that opens sockets or takes locks: their waits must become switches between greenlets.
monkey.patch_all()

import signal  # noqa: E402
import sys  # noqa: E402

import gevent  # noqa: E402
import msgspec  # noqa: E402

from app.simulator.simulator import Options, Simulator  # noqa: E402


def run(options: Options) -> None:
    """Run until SIGTERM, SIGINT or the simulation's end. Print the addresses as one line of JSON on standard output."""
    simulator = Simulator(options)
    for number in (signal.SIGTERM, signal.SIGINT):
        gevent.signal_handler(number, simulator.supervisor.finish)
    try:
        sys.stdout.write(msgspec.json.encode(simulator.start()).decode() + "\n")
        sys.stdout.flush()
        simulator.supervisor.wait()
    finally:
        simulator.stop()
