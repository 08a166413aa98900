"""Rows on disk while their database does not take them, and what is known of rows that were lost.

In: batches that a writer could not write. Out: the same batches in order, each checked.
Read spool.py first, then segments.py.
"""
