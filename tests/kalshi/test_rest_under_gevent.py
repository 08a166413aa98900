from tests.processes import run

GREENLETS = """
from gevent import monkey
monkey.patch_all()
import gevent, gevent.pool
from app.kalshi.rest_client import RestClient
from app.kalshi.rest_transport import RetrySeconds
from app.kalshi.request_budget import Priority
from app.runtime.events import Event
from app.runtime.health import StoppedError
from tests.kalshi.exchange import FakeExchange, Reply, transport_to

stopping, release, outcomes = Event(), Event(), []

def ask(client):
    try:
        outcomes.append(len(list(client.markets())))
    except StoppedError:
        outcomes.append("stopped")

with FakeExchange().running() as exchange, transport_to(exchange, stopping, backoff=RetrySeconds(1_000, 10_000)) as transport:
    client = RestClient(transport, Priority.RECONCILE)
    group = gevent.pool.Group()
    exchange.answers(Reply(200, {"markets": [1, 2], "cursor": ""}, after=release))
    for _ in range(20):
        group.spawn(ask, client)
    while len(exchange.asked) < 20:
        gevent.sleep(0.01)
    release.set()
    group.join(120)
    print(outcomes)
    outcomes.clear()
    exchange.answers(Reply(500, {}))
    for _ in range(20):
        group.spawn(ask, client)
    while transport.retries < 20:
        gevent.sleep(0.01)
    stopping.set()
    group.join(120)
    print(outcomes)
"""


def test_greenlets_wait_for_the_exchange_side_by_side_and_stop_at_once():
    done = run("-c", GREENLETS, NO_PROXY="127.0.0.1")
    lines = done.stdout.splitlines()
    # In between, each has logged that it will ask again.
    assert (lines[0], lines[-1]) == (str([2] * 20), str(["stopped"] * 20)), done.stderr
