"""The deduplicator: merges all gatherers' recordings into production, and records how complete they are.

In: gatherers' databases. Out: production.
Read process.py first, then merger.py and puller.py.
"""
