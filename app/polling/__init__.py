"""Polling REST: the order in which books are requested, and trades of times that no socket covered.

In: active markets, gaps, the request budget. Out: rows for the writers.
Read book_cycles.py first.
"""
