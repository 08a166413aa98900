"""Clients of an exchange that a test runs: the scripted one or the simulator."""

from contextlib import contextmanager
from types import SimpleNamespace

from app.kalshi.request_budget import Priority
from app.kalshi.rest_client import RestClient
from tests.kalshi.exchange import PREFIX, Reply, transport_to
from tests.simulator.running import running_simulator


@contextmanager
def clients_of(exchange, stopping=None):
    """For polling or repairing, and for what is urgent."""
    with transport_to(exchange, stopping) as transport:
        yield RestClient(transport, Priority.POLLING), RestClient(transport, Priority.REPAIR, patience_seconds=20)


def archives_trades_before(exchange, moment):
    """The scripted exchange says so."""
    exchange.by_path[f"{PREFIX}/historical/cutoff"] = Reply(200, {"trades_created_ts": moment})


def asked_for_trades(exchange):
    return [asked for asked in exchange.asked if asked.path.endswith("/trades")]


@contextmanager
def simulated(folder, *options):
    with running_simulator(folder, "--tier", "unlimited", *options) as simulator:
        yield simulator, SimpleNamespace(url=simulator.where["rest"])
