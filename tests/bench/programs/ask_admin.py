"""URL WHAT CLIENTS PAUSE_SECONDS SECONDS MARKETS: clients that each keep one connection; prints how long answers took."""

from gevent import monkey

monkey.patch_all()

import http.client  # noqa: E402
import json  # noqa: E402
import random  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
from urllib.parse import urlsplit  # noqa: E402

import gevent  # noqa: E402


def path_of(what, chance, markets):
    if what == "health":
        return "/health"
    number = chance.randrange(markets)
    ticker = f"KXS{number % 1000}-E{number % 100000}-M{number:07}"
    return f"/admin/markets/{ticker}" if what == "market" else f"/admin/markets/active?after={ticker}&limit=100"


def client(address, what, pause_seconds, end, markets, seed, took):
    chance = random.Random(seed)
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=30)
    time.sleep(chance.random() * pause_seconds)
    while time.perf_counter() < end:
        started = time.perf_counter()
        connection.request("GET", path_of(what, chance, markets))
        answer = connection.getresponse()
        answer.read()
        took.append(time.perf_counter() - started)
        assert answer.status == 200, answer.status
        time.sleep(pause_seconds * (0.5 + chance.random()))


def main(url, what, clients, pause_seconds, seconds, markets):
    address, took = urlsplit(url), []
    end = time.perf_counter() + float(seconds)
    each = (address, what, float(pause_seconds), end, int(markets))
    gevent.joinall([gevent.spawn(client, *each, seed, took) for seed in range(int(clients))], raise_error=True)
    took.sort()
    at = {f"p{share}_ms": 1_000 * took[len(took) * share // 100] for share in (50, 99)}
    print(json.dumps({**at, "per_second": len(took) / float(seconds)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
