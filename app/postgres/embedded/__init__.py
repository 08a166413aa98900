"""A PostgreSQL server of our own, for development and the demo.

In: a folder. Out: a running server, stopped with its process even if that is killed.
Read server.py first.
"""
