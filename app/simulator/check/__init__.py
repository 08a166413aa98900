"""Compares what a database or a lake holds with the ground truth that the simulator recorded.

In: the truth on disk, and rows of a gatherer, of production or of a lake. Out: a report of what is missing or wrong.
Read check.py first, then matcher.py.
"""
