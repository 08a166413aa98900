"""Polling REST: which book is asked for next, and trades of times that no socket heard.

In: active markets, gaps, the request budget. Out: rows for the writers.
Read book_cycles.py first.
"""
