"""Audit of recorded books: each snapshot must equal the one before it plus the changes in between.

In: snapshots and changes of production. Out: findings, and how far each market is proven.
Read audit.py first, then pairs.py.
"""
