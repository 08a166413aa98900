"""An embedded PostgreSQL server, for development and the demo.

In: a folder. Out: a running server, stopped with its process even if that is killed.
Read server.py first.
"""
