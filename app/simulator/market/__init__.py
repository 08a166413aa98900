"""The simulated exchange's world: its markets, their lives, and what traders do.

In: a seed and a clock. Out: changes, trades, tickers and lifecycle messages, computed from the seed alone.
Read exchange.py first, then plan.py.
"""
