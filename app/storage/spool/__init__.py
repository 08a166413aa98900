"""Keep rows on disk while their database does not accept them, and record the rows that were lost.

In: batches that a writer could not write. Out: the same batches in order, each checked.
Read spool.py first, then segments.py.
"""
