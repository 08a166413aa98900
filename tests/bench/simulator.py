"""How fast the simulator is, against clients that do as little as possible, so that it is measured and not they."""

import contextlib
import http.client
import json
import re
import struct
import tempfile
import threading
import time
import urllib.parse
from pathlib import Path

from tests.simulator.running import open_socket, running_simulator

CLIENTS = 8
BLAST_SECONDS = 5
CONNECTIONS = 150
MARKETS = 1_000_000
PAGE = 1_000
COMMAND_MARKETS = 10_000


def run(report):
    with tempfile.TemporaryDirectory() as folder:
        blast(report, Path(folder) / "blast")
        pages_and_subscriptions(report, Path(folder) / "many")


def blast(report, folder):
    with running_simulator(folder, "--blast", "--markets", "1000") as simulator:
        tickers = simulator.tickers(status="open")[:200]
        connections = [open_socket(simulator) for _ in range(CLIENTS)]
        for connection in connections:
            send_command(connection, 1, "subscribe", channels=["orderbook_delta"], market_tickers=tickers)
        readers = [threading.Thread(target=discard, args=(connection,), daemon=True) for connection in connections]
        for reader in readers:
            reader.start()
        time.sleep(1)
        before, cpu_before, started = sent_frames(simulator), cpu_seconds(simulator), time.monotonic()
        time.sleep(BLAST_SECONDS)
        frames, cpu = sent_frames(simulator) - before, cpu_seconds(simulator) - cpu_before
        seconds = time.monotonic() - started
        for connection in connections:
            connection.close()
    report("blast_frames_per_s", frames / seconds, "frames/s", bar=150_000, clients=CLIENTS, cpu_share=cpu / seconds)


def pages_and_subscriptions(report, folder):
    options = ("--markets", str(MARKETS), "--rate", "0", "--tier", "unlimited")
    with running_simulator(folder, *options) as simulator:
        started, cpu_before = time.monotonic(), cpu_seconds(simulator)
        tickers = crawl(simulator)
        seconds, cpu = time.monotonic() - started, cpu_seconds(simulator) - cpu_before
        report("million_markets_paged_s", seconds, "s", 60, at_least=False, markets=len(tickers), cpu_seconds=cpu)
        connections = [open_socket(simulator) for _ in range(CONNECTIONS)]
        share = MARKETS // CONNECTIONS + 1
        started = time.monotonic()
        commands = [subscribe(each, tickers[n * share : (n + 1) * share]) for n, each in enumerate(connections)]
        readers = [threading.Thread(target=discard, args=(each,), daemon=True) for each in connections]
        for reader in readers:
            reader.start()
        while subscribed(simulator) < len(tickers):
            time.sleep(0.05)
        accepted = time.monotonic() - started
        while waiting_snapshots(simulator):
            time.sleep(0.2)
        snapshots = time.monotonic() - started
        memory = resident_mb(simulator)
        for connection in connections:
            connection.close()
    conditions = {"connections": CONNECTIONS, "subscriptions": len(tickers), "commands": sum(commands)}
    report("million_subscriptions_accepted_s", accepted, "s", 30, at_least=False, **conditions)
    report("million_snapshots_sent_s", snapshots, "s", **conditions)
    report("million_markets_resident_mb", memory, "MB", 1_000, at_least=False, **conditions)


def crawl(simulator):
    """Every ticker, by as little reading as that takes, over one connection."""
    address = urllib.parse.urlsplit(simulator.where["rest"])
    connection = http.client.HTTPConnection(address.netloc)
    tickers, cursor = [], ""
    with contextlib.closing(connection):
        while True:
            connection.request("GET", f"{address.path}/markets?limit={PAGE}&cursor={cursor}")
            text = connection.getresponse().read()
            tickers += [ticker.decode() for ticker in re.findall(rb'[{,]"ticker":"([^"]+)"', text)]
            cursor = re.search(rb'"cursor":"([^"]*)"', text)[1].decode()
            if not cursor:
                return tickers


def send_command(connection, number, command, **params):
    payload = json.dumps({"id": number, "cmd": command, "params": params}).encode()
    # The mask is all zeros, so that the payload stays as it is.
    connection.sendall(struct.pack("!BBQ", 0x81, 0xFF, len(payload)) + bytes(4) + payload)


def subscribe(connection, tickers):
    parts = [tickers[start : start + COMMAND_MARKETS] for start in range(0, len(tickers), COMMAND_MARKETS)]
    for number, part in enumerate(parts, start=1):
        how = {"channels": ["orderbook_delta"]} if number == 1 else {"sid": 1, "action": "add_markets"}
        command = "subscribe" if number == 1 else "update_subscription"
        send_command(connection, number, command, market_tickers=part, skip_ticker_ack=True, **how)
    return len(parts)


def discard(connection):
    space = bytearray(1 << 20)
    try:
        while connection.recv_into(space):
            pass
    except OSError:
        return


def sent_frames(simulator):
    return sum(connection["sent_frames"] for connection in simulator.state()["connections"])


def subscribed(simulator):
    connections = simulator.state()["connections"]
    return sum(each["markets"] for connection in connections for each in connection["subscriptions"])


def waiting_snapshots(simulator):
    return sum(each["waiting_snapshots"] + each["waiting_frames"] for each in simulator.state()["connections"])


def cpu_seconds(simulator):
    fields = Path(f"/proc/{simulator.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


def resident_mb(simulator):
    status = Path(f"/proc/{simulator.process.pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1_000
