"""How complete the record is: which hours of which market no gatherer received.

In: the gatherers' journals in production. Out: rows of `coverage`, and trades that repairs fetch from REST.
Read hours.py first, then evidence.py.
"""
