"""Coverage: how complete the record is, by the hours of each market that no gatherer received.

In: the gatherers' journals in production. Out: rows of `coverage`, and trades that repairs fetch from REST.
Read hours.py first, then evidence.py.
"""
