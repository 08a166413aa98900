"""Replication of a gatherer's journal, series, events and markets to production, confirmed to the gatherer.

In: tables of a gatherer. Out: their copies, and up to where they are known.
Read follower.py first, then journal.py.
"""
