"""Audit of recorded books: each snapshot, and the best levels in each quote, must be what recorded changes lead to.

In: snapshots, changes and quotes of production. Out: findings, and how far each market is proven.
Snapshots: read audit.py first, then pairs.py. Quotes: read quotes.py first, then quote_audit.py.
"""
