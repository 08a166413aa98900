"""What every column means, for the files themselves and for docs/lake.md."""

from typing import NamedTuple

DOLLARS_E6 = "millionths of a dollar"
CONTRACTS_E2 = "hundredths of a contract"
UTC_TIME = "UTC, to the microsecond"


class Meaning(NamedTuple):
    description: str
    unit: str = ""


MEANINGS = {
    "exchange_ts": Meaning("when it happened, by the exchange; of lifecycle events, when it was sent", UTC_TIME),
    "snapshot_ts": Meaning("when the book was sent, or polled", UTC_TIME),
    "received_at": Meaning("when the first gatherer received it, by that gatherer's clock", UTC_TIME),
    "ticker": Meaning("the market; of some lifecycle events, the event"),
    "clock": Meaning(
        "the exchange's counter of this market's changes; a snapshot holds every change up to and including its own; "
        "-1: none"
    ),
    "delta_e2": Meaning("by how much the level changed; negative: fewer", CONTRACTS_E2),
    "price_e6": Meaning("price of the level, of a NO bid its NO price; in tickers: of the last trade", DOLLARS_E6),
    "nth": Meaning("how many identical events came before it on its connection within the same instant"),
    "yes_side": Meaning("whether it is a YES bid; false: a NO bid, that is, a YES ask at one dollar less the price"),
    "after_gap": Meaning("received after a loss and before the next snapshot, by every gatherer that has it"),
    "ts_missing": Meaning("the message carried no time: exchange_ts is when it was sent"),
    "size_e2": Meaning("how much was traded", CONTRACTS_E2),
    "yes_price_e6": Meaning("price of YES; NO's is one dollar less it", DOLLARS_E6),
    "taker_yes": Meaning("whether the taker took YES"),
    "is_block_trade": Meaning("whether it was negotiated off the book; null: the message does not say"),
    "from_rest": Meaning("no gatherer heard it on a socket; it was fetched by REST"),
    "trade_id": Meaning("the exchange's id of the trade"),
    "digest": Meaning("64 bits of a hash of the values"),
    "yes_bid_size_e2": Meaning("size at the best YES bid", CONTRACTS_E2),
    "yes_ask_size_e2": Meaning("size at the best YES ask", CONTRACTS_E2),
    "last_trade_size_e2": Meaning("size of the last trade", CONTRACTS_E2),
    "volume_e2": Meaning("traded since the market opened; in candles: in the interval", CONTRACTS_E2),
    "open_interest_e2": Meaning("contracts that are held", CONTRACTS_E2),
    "dollar_volume": Meaning("the exchange's figure, as sent"),
    "dollar_open_interest": Meaning("the exchange's figure, as sent"),
    "yes_bid_e6": Meaning("best YES bid; null: nobody bids", DOLLARS_E6),
    "yes_ask_e6": Meaning("best YES ask; null: nobody asks", DOLLARS_E6),
    "levels_digest": Meaning("64 bits of a hash of the levels; a confirmation has that of the book that it confirms"),
    "source": Meaning("`ws`: sent on a socket; `rest`: polled"),
    "yes_prices_e6": Meaning("prices of YES bids; null in all four: a confirmation, the book is unchanged", DOLLARS_E6),
    "yes_sizes_e2": Meaning("their sizes, in the same order", CONTRACTS_E2),
    "no_prices_e6": Meaning("prices of NO bids, at NO prices", DOLLARS_E6),
    "no_sizes_e2": Meaning("their sizes, in the same order", CONTRACTS_E2),
    "event_type": Meaning("created, activated, deactivated, close_date_updated, determined, settled, …"),
    "payload": Meaning("the message, as JSON"),
    "conn": Meaning("number of the gatherer's socket (raw only)"),
    "sid": Meaning("the socket's subscription (raw only)"),
    "seq": Meaning("the subscription's count of messages (raw only)"),
    "start_ts": Meaning("when the interval begins; it ends before the next begins", UTC_TIME),
    "open_e6": Meaning("YES price of the first trade", DOLLARS_E6),
    "high_e6": Meaning("highest YES price", DOLLARS_E6),
    "low_e6": Meaning("lowest YES price", DOLLARS_E6),
    "close_e6": Meaning("YES price of the last trade", DOLLARS_E6),
    "trades": Meaning("how many trades there were"),
    "notional_e8": Meaning("sum of YES price times size, exact", "hundred-millionths of a dollar"),
    "vwap_e6": Meaning("notional by volume, rounded down", DOLLARS_E6),
}
