"""The gatherer: records everything that the exchange sends into the databases of its host.

In: sockets and REST. Out: rows, by way of the message router and the writers.
Read process.py first, then connection.py and writers.py.
"""
