"""Messages to rows: exact integers, identities, sequence checks.

In: messages and objects of app/kalshi. Out: rows of storage/tables.py, and gaps in what was received.
Read stream.py first: it reads the messages of one socket.
"""
