"""What any process needs: logs, clocks, backoff, health, threads, an HTTP server, secrets, jobs.

Nothing of the exchange or of the database's tables is here.
Read health.py first: it says how a process stops and how it is watched.
"""
