"""What the processes count, one file for each process; docs/metrics.md lists all.

In: what a component counts. Out: Prometheus metrics on the ops port; a label never carries a ticker.
Read gatherer.py first.
"""
