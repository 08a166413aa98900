"""Compares what a production database holds with the ground truth of the simulator that was recorded.

In: the truth on disk, and rows of a gatherer, of production or of a lake. Out: a report of what is missing or wrong.
Read check.py first, then matcher.py.
"""
