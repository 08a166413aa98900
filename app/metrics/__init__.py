"""Prometheus metrics, one file for each process; docs/metrics.md lists names, labels and descriptions.

In: what a component counts. Out: metrics on the ops port; a label never carries a ticker.
Read gatherer.py first.
"""
