"""The exchange's side of every socket: real WebSocket frames over real sockets, one event of each kind at a time."""

import json
from collections import defaultdict
from itertools import count

import msgspec

from app.kalshi.frames import CLOSE, PING, TEXT, masked
from tests.claims.moments import SECOND_US
from tests.claims.truth import Event
from tests.kalshi.sockets.server_frames import server_frame

BOOKS = "orderbook_delta"
PRICES = [f"0.{cents:02}00" for cents in range(1, 100)]
PING_US = 5 * SECOND_US


class Exchange:
    """Everything is sent as it happens: a message comes to be known to be the exchange's some milliseconds later."""

    def __init__(self, truth, true_time):
        self.markets = ["KX-1", "KX-2"]  # that are open
        self.lines = []
        self.truth = truth
        self.true_time = true_time
        self._numbers = count(1)
        self._pinged_us = 0

    def connect(self, theirs):
        line = Line(self, theirs)
        self.lines.append(line)
        return line

    def happen(self):
        """Something on every channel, and in every book."""
        for channel in ("trade", "ticker"):
            self._send(Event(next(self._numbers), channel, self.markets[0], self.true_time.now_us))
        for ticker in self.markets:
            self._send(Event(next(self._numbers), BOOKS, ticker, self.true_time.now_us))

    def had(self, ticker, opened_us, closed_us):
        """A market that nobody asked for: its book changed as it opened, and later."""
        for happened_us in (opened_us + 1_000, (opened_us + closed_us) // 2):
            self.truth.happened(Event(next(self._numbers), BOOKS, ticker, happened_us))

    def ping(self):
        if self.true_time.now_us - self._pinged_us < PING_US:
            return
        self._pinged_us = self.true_time.now_us
        for line in self.lines:
            line.write(b"", PING)

    def answer(self):
        """Whatever was asked. Whether anything was."""
        self.lines = [line for line in self.lines if not line.is_over]
        heard = [line.hear() for line in self.lines]
        return any(heard)

    def _send(self, event):
        self.truth.happened(event)
        for line in self.lines:
            line.tell(event)


class Line:
    """One socket. `is_fed`: what is sent arrives; else it goes nowhere, and nobody is told."""

    def __init__(self, exchange, theirs):
        self.is_fed = True
        self.is_over = False
        self.to_lose = 0  # so many of the next messages with a number
        self._exchange = exchange
        self._socket = theirs
        self._socket.setblocking(False)
        self._received = b""
        self._sids = count(1)
        self._subscriptions = {}  # sids by channel
        self._sequences = defaultdict(count)
        self._markets = set()
        self._left_out = defaultdict(list)

    @property
    def channels(self):
        return set(self._subscriptions)

    def tell(self, event):
        sid = self._subscriptions.get(event.channel)
        if sid is None or (event.channel == BOOKS and event.ticker not in self._markets):
            return
        if event.channel == "ticker":
            self._say({"type": "ticker", "sid": sid, "msg": body_of(event)})
        elif self.to_lose:
            self.to_lose -= 1
            next(self._sequences[sid])
            self._left_out[sid].append(event.number)
            self._exchange.truth.was_left_out(event)
        else:
            self._say_in_sequence(sid, {"type": event.channel, "msg": body_of(event)})

    def hear(self):
        """Answers commands. Whether there were any."""
        if self.is_over or not self.is_fed:
            return False
        if not self._receive():
            self.end()
        frames, self._received = client_frames(self._received)
        for opcode, payload in frames:
            if opcode == TEXT:
                self._obey(json.loads(payload))
            elif opcode == CLOSE:
                self.write(payload, CLOSE)
                self.end()
        return bool(frames)

    def _receive(self):
        """What there is. Whether more may come."""
        try:
            while chunk := self._socket.recv(1 << 16):
                self._received += chunk
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def write(self, payload, opcode=TEXT):
        if self.is_fed and not self.is_over:
            try:
                self._socket.sendall(server_frame(payload, opcode))
            except OSError:
                self.end()

    def end(self):
        self.is_over = True
        self._socket.close()

    def _say(self, message):
        self.write(msgspec.json.encode({"sending_ts_ms": self._exchange.true_time.now_us // 1_000, **message}))

    def _say_in_sequence(self, sid, message):
        self._say({"sid": sid, "seq": next(self._sequences[sid]) + 1, **message})
        if self.is_fed and not self.is_over:
            self._exchange.truth.shows(self._left_out.pop(sid, ()))

    def _obey(self, command):
        number, params = command["id"], command.get("params", {})
        if command["cmd"] == "subscribe":
            (channel,) = params["channels"]
            sid = self._subscriptions.setdefault(channel, next(self._sids))
            self._say({"id": number, "type": "subscribed", "msg": {"channel": channel, "sid": sid}})
            self._add(sid, params.get("market_tickers", ()))
        elif command["cmd"] == "update_subscription":
            self._update(number, params)
        else:
            listed = [{"channel": channel, "sid": sid} for channel, sid in self._subscriptions.items()]
            self._say({"id": number, "type": "ok", "msg": listed})

    def _update(self, number, params):
        (sid,) = params["sids"]
        if params["action"] == "get_snapshot":
            for ticker in params["market_tickers"]:
                self._snapshot(sid, ticker, {"id": number})
            return
        self._say_in_sequence(sid, {"id": number, "type": "ok"})
        if params["action"] == "add_markets":
            self._add(sid, params["market_tickers"])
        else:
            self._markets -= set(params["market_tickers"])

    def _add(self, sid, tickers):
        for ticker in tickers:
            if ticker in self._exchange.markets and ticker not in self._markets:
                self._markets.add(ticker)
                self._snapshot(sid, ticker, {})

    def _snapshot(self, sid, ticker, asked):
        self._say_in_sequence(
            sid, {"type": "orderbook_snapshot", "msg": {"market_ticker": ticker, "clock": 0}, **asked}
        )


def body_of(event):
    body = {"market_ticker": event.ticker, "ts_ms": event.happened_us // 1_000}
    if event.channel == BOOKS:
        price = PRICES[event.number % len(PRICES)]
        return {**body, "price_dollars": price, "delta_fp": "1.00", "side": "yes", "clock": event.number}
    if event.channel == "trade":
        trade = {"trade_id": str(event.number), "yes_price_dollars": "0.5000", "count_fp": "1.00"}
        return {**body, **trade, "taker_outcome_side": "yes", "is_block_trade": False}
    return {**body, "price_dollars": "0.5000", "dollar_volume": event.number}


def client_frames(received):
    """Opcode and payload of each whole frame, and what is left."""
    frames = []
    while len(received) >= 2:
        size, start = received[1] & 0x7F, 2
        if size >= 126:
            length = 2 if size == 126 else 8
            size, start = int.from_bytes(received[2 : 2 + length]), 2 + length
        end = start + 4 + size
        if len(received) < end:
            break
        frames.append((received[0] & 0xF, masked(received[start + 4 : end], received[start : start + 4])))
        received = received[end:]
    return frames, received
