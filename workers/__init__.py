"""The long-running processes: gatherer (with its market registry), deduplicator, exporter, maintainer.

In: settings. Out: what app/ does, in greenlets that are supervised and stop together.
Read __main__.py first; each process has a process.py or a file of its own.
"""
