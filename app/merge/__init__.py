"""Merging: rows of several gatherers become the events of production.

In: rows of each gatherer's tables in the order of their commits. Out: production's rows and `sync_cursors`.
Read rules.py first: it defines when two rows are one event. merger.py runs one round.
"""
