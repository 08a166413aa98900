"""An exchange of values: what it would answer to commands on one socket, with whatever a test lets go wrong."""

import json
from collections import deque
from typing import NamedTuple

import msgspec

from app.kalshi.messages import decode
from app.normalize.stream import SequenceCheck

EMPTY = {}


class Said(NamedTuple):
    frame: bytes
    said_us: int
    change: int | None = None  # its number, of an order book's change


class Socket:
    """The exchange's end of one socket. What it says waits in `said` until a test delivers, or drops, it."""

    def __init__(self, known, clock, limit=10**9, grants_first=False):
        self.known = known
        self.clock = clock
        self.limit = limit
        self.grants_first = grants_first  # a subscription is told of before it is found to be too large
        self.next_sid = 1
        self.sid = None
        self.seq = 0
        self.markets = {}
        self.said = deque()

    def hear(self, command):
        """A command reaches the exchange."""
        body = json.loads(command)
        number, params = body["id"], body.get("params", EMPTY)
        match body["cmd"]:
            case "subscribe":
                self._subscribe(number, params)
            case "unsubscribe":
                self._say({"id": number, "type": "unsubscribed", "sid": params["sids"][0]})
            case "list_subscriptions":
                listed = [] if self.sid is None else [{"channel": "orderbook_delta", "sid": self.sid}]
                self._say({"id": number, "type": "ok", "msg": listed})
            case "update_subscription":
                self._update(number, params)

    def refuse(self, command, code):
        """It reaches the exchange, which answers with an error."""
        self._say({"id": json.loads(command)["id"], "type": "error", "msg": {"code": code, "msg": "no"}})

    def end(self, code):
        if self.sid is not None:
            self._say({"type": "error", "sid": self.sid, "msg": {"code": code, "msg": "over"}})
            self._forget()

    def forget(self):
        """As end(), and the word of it is lost."""
        self._forget()

    def change(self, ticker, number):
        if ticker in self.markets:
            body = {
                "market_ticker": ticker,
                "price_dollars": "0.5000",
                "delta_fp": "1.00",
                "side": "yes",
                "ts_ms": 1_795_246_814_804,
                "clock": number,
            }
            self._say_in_sequence({"type": "orderbook_delta", "msg": body}, number)

    def _forget(self):
        self.sid = None
        self.markets.clear()

    def _subscribe(self, number, params):
        assert params["use_yes_price"] is False
        assert params["skip_ticker_ack"] is True
        is_too_large = self._exceeds(params["market_tickers"])
        if is_too_large and not self.grants_first:
            self._say({"id": number, "type": "error", "msg": {"code": 26, "msg": "limit"}})
            return
        if self.sid is None:
            self.sid, self.next_sid, self.seq = self.next_sid, self.next_sid + 1, 0
        self._say({"id": number, "type": "subscribed", "msg": {"channel": "orderbook_delta", "sid": self.sid}})
        if is_too_large:
            self._say({"id": number, "type": "error", "msg": {"code": 26, "msg": "limit"}})
        else:
            self._add(params["market_tickers"])

    def _update(self, number, params):
        tickers = params["market_tickers"]
        assert len(tickers) <= 1_000
        if params["sids"] != [self.sid]:
            self._say({"id": number, "type": "error", "msg": {"code": 7, "msg": "unknown sid"}})
            return
        if params["action"] == "get_snapshot":
            for ticker in tickers:
                self._snapshot(ticker, number)
            return
        if params["action"] == "add_markets" and self._exceeds(tickers):
            self._say({"id": number, "type": "error", "msg": {"code": 26, "msg": "limit"}})
            return
        self._say_in_sequence({"id": number, "type": "ok"})
        if params["action"] == "add_markets":
            self._add(tickers)
        for ticker in tickers if params["action"] == "delete_markets" else ():
            self.markets.pop(ticker, None)

    def _exceeds(self, tickers):
        return len(set(self.markets) | (set(tickers) & self.known)) > self.limit

    def _add(self, tickers):
        for ticker in tickers:
            if ticker in self.known and ticker not in self.markets:
                self.markets[ticker] = None
                self._snapshot(ticker)

    def _snapshot(self, ticker, number=None):
        if ticker in self.known:
            asked = EMPTY if number is None else {"id": number}
            self._say_in_sequence({"type": "orderbook_snapshot", "msg": {"market_ticker": ticker}, **asked})

    def _say_in_sequence(self, message, change=None):
        self.seq += 1
        self._say({**message, "sid": self.sid, "seq": self.seq}, change)

    def _say(self, message, change=None):
        self.said.append(Said(msgspec.json.encode(message), self.clock(), change))


class Stream:
    """What a connection's stream is told, and whether it was right to trust."""

    def __init__(self, subscriber):
        self._subscriber = subscriber
        self._sequence = SequenceCheck()
        self.in_doubt = set()

    def read(self, frame, now_us, lag_us=0):
        """As an intake does: a message proves what was sent before it, not what was sent while it was under way."""
        message = decode(frame)
        if message.sid is not None and message.seq is not None:
            gap = self._sequence.check(message.sid, message.seq)
            if gap is not None:
                self._subscriber.note_gap(gap, now_us)
        self._subscriber.handle(message, now_us)
        if message.sid is not None:
            self._subscriber.note_received(message.sid, now_us - lag_us)
        return message

    def begin_gap(self, sid):
        self.in_doubt.add(sid)

    def end_gap(self, sid):
        self.in_doubt.discard(sid)

    def forget(self, sid):
        self.in_doubt.discard(sid)
        self._sequence.forget(sid)
