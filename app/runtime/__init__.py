"""Provide what every process needs: logs, clocks, backoff, health, threads, an HTTP server, secrets, jobs.

Nothing here knows the exchange or the database's tables.
Read health.py first: it defines how a process stops and how it is watched.
"""
