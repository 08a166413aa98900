"""A faithful Kalshi on loopback: the demo, the tests and the benchmarks run against it, and it knows what it sent.

In: a seed, a clock and the faults to inflict. Out: REST and WebSockets as the exchange has them, and the truth on disk.
Read simulator.py first, then market/exchange.py.
"""
