"""Listen on four sockets for a while: two subscribe to the same books, two to all channels without markets.

In: tickers and a time. Out: the record of each socket, and REST's books of that time. Two of each, so that verdicts can
compare what two sockets receive.
"""

import queue
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import NamedTuple
from urllib.parse import urlsplit

from app.kalshi.errors import ConnectError, RestError, SocketError, SocketTimeoutError
from app.kalshi.handshake import open_websocket
from app.kalshi.rest_client import RestClient
from app.kalshi.signing import Signer
from app.kalshi.websocket import WebSocket
from app.normalize.snapshots import rest_snapshot_row
from app.rehearsal.book_verdicts import Poll
from app.rehearsal.socket_record import SocketRecord, is_answered
from app.runtime.clock import now_us, steady_seconds
from app.subscriptions.commands import CommandKind
from app.subscriptions.roles import BOOK_CHANNEL, LIFECYCLE, TICKER, TRADE

HANDSHAKE_SECONDS = 10.0
# Each socket is read and written by its own thread, so a command waits at most this long for its turn.
TURN_SECONDS = 0.5
ANSWER_SECONDS = 15.0
POLLS = 8
LOOK_SECONDS = 0.05
MOST_COMMANDS = 100
WHOLE_EXCHANGE = (*TICKER.channels, *TRADE.channels, *LIFECYCLE.channels)

Dial = Callable[[], WebSocket]


class SocketSession(NamedTuple):
    """The records of the four sockets."""

    books: list[SocketRecord]
    whole: list[SocketRecord]
    asked: list[tuple[SocketRecord, str]]  # channels that were subscribed to
    polls: list[Poll]


def dial_of(url: str, signer: Signer) -> Dial:
    context = ssl.create_default_context() if url.startswith("wss:") else None

    def dial() -> WebSocket:
        connection = open_websocket(url, signer.headers("GET", urlsplit(url).path), HANDSHAKE_SECONDS, context)
        connection.settimeout(TURN_SECONDS)
        return WebSocket(connection)

    return dial


class Listener:
    """A socket with its own thread, which ends with the socket or on stop()."""

    def __init__(self, record: SocketRecord, socket: WebSocket) -> None:
        self.record = record
        self._socket = socket
        self._to_send: queue.Queue[bytes] = queue.Queue(MOST_COMMANDS)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"socket-{record.conn}", daemon=True)
        self._pinged_seconds = socket.last_ping_seconds

    def start(self) -> None:
        self._thread.start()

    def send(self, command: bytes) -> None:
        self.record.asked += 1
        self._to_send.put(command)

    def stop(self) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            while not self._over.is_set():
                self._turn()
        except SocketError as error:
            self.record.ended = str(error)
        except Exception as error:
            self.record.ended = repr(error)
            raise
        finally:
            self._note_ping()
            self._socket.close()

    def _turn(self) -> None:
        while not self._to_send.empty():
            self._socket.send(self._to_send.get())
        try:
            batch = self._socket.receive()
        except SocketTimeoutError:
            return
        finally:
            self._note_ping()
        for frame in batch.messages:
            self.record.take(frame, batch.received_us)

    def _note_ping(self) -> None:
        """Record the longest time without a ping, and count pings."""
        latest_seconds = self._socket.last_ping_seconds
        self.record.quiet_seconds = max(self.record.quiet_seconds, steady_seconds() - self._pinged_seconds)
        self.record.pings += latest_seconds != self._pinged_seconds
        self._pinged_seconds = latest_seconds


def listen(dial: Dial, client: RestClient, tickers: Sequence[str], seconds: float) -> SocketSession:
    """Listen and return the records. Raise SocketError if the sockets cannot be opened."""
    with _listeners(dial, tickers) as listeners:
        books, whole = listeners[:2], listeners[2:]
        asked = [*_subscribe_to_books(books, tickers), *_subscribe_to_all(whole)]
        polls = list(_poll(client, tickers, seconds, listeners, lambda: _ask_for_books(books, tickers)))
        _ask_for_books(books, tickers)
        _until_answered(listeners)
    records = [each.record for each in listeners]
    return SocketSession(records[:2], records[2:], asked, polls)


@contextmanager
def _listeners(dial: Dial, tickers: Sequence[str]) -> Iterator[list[Listener]]:
    with ExitStack() as opened:
        listeners = []
        for conn in range(4):
            listener = Listener(SocketRecord(conn, tickers), dial())
            listeners.append(listener)
            listener.start()
            opened.callback(listener.stop)
        yield listeners


def _subscribe_to_books(books: Sequence[Listener], tickers: Sequence[str]) -> Iterator[tuple[SocketRecord, str]]:
    """Subscribe to half of the markets first and to the rest by an update, whose answer carries a sequence number."""
    half = max(len(tickers) // 2, 1)
    for each in books:
        each.send(each.record.commands.subscribe_to_books(list(tickers[:half]), now_us()))
        _wait(partial(_is_decided, each.record), ANSWER_SECONDS)
        _update(each, CommandKind.ADD, tickers[half:])
        yield each.record, BOOK_CHANNEL


def _is_decided(record: SocketRecord) -> bool:
    return BOOK_CHANNEL in record.sids or bool(record.errors or record.ended)


def _subscribe_to_all(whole: Sequence[Listener]) -> Iterator[tuple[SocketRecord, str]]:
    for each in whole:
        for channel in WHOLE_EXCHANGE:
            each.send(each.record.commands.subscribe(channel, now_us()))
            yield each.record, channel


def _update(listener: Listener, kind: CommandKind, tickers: Sequence[str]) -> None:
    sid = listener.record.sids.get(BOOK_CHANNEL)
    if sid is not None and tickers:
        listener.send(listener.record.commands.update(kind, sid, list(tickers), now_us()))


def _ask_for_books(books: Sequence[Listener], tickers: Sequence[str]) -> None:
    for each in books:
        _update(each, CommandKind.SNAPSHOT, tickers)


def _poll(
    client: RestClient,
    tickers: Sequence[str],
    seconds: float,
    listeners: Sequence[Listener],
    halfway: Callable[[], None],
) -> Iterator[Poll]:
    """Poll the same books over REST, spread over the time of listening."""
    for number in range(POLLS):
        is_over = _wait(lambda: any(each.record.is_full or each.record.ended for each in listeners), seconds / POLLS)
        if is_over:
            return
        if number == POLLS // 2:
            halfway()
        asked_us = now_us()
        try:
            rows = [rest_snapshot_row(each, asked_us) for each in client.order_books(tickers)]
        except (RestError, ValueError):
            continue  # the endpoint itself is judged in rest_probe.py
        yield Poll(asked_us, now_us(), rows)


def _until_answered(listeners: Sequence[Listener]) -> None:
    """Wait until every command is answered. Both sockets of a pair have then received everything up to that time."""
    for each in listeners:
        each.send(each.record.commands.list_subscriptions(None, now_us()))

    _wait(lambda: all(each.record.ended or is_answered(each.record) for each in listeners), ANSWER_SECONDS)


def _wait(condition: Callable[[], object], seconds: float) -> bool:
    """Return whether the condition became true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(LOOK_SECONDS)
    return True


def sockets_at_once(dial: Dial, wanted: int) -> tuple[int, SocketError | None]:
    """Open this many sockets and close them all. Return how many opened, and the error that stopped it."""
    opened: list[WebSocket] = []
    try:
        while len(opened) < wanted:
            opened.append(dial())
    except (ConnectError, SocketTimeoutError) as error:
        return len(opened), error
    finally:
        for socket in opened:
            socket.ask_to_close()
            socket.abort()
    return len(opened), None
