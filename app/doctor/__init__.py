"""Looks at what the platform stands on, piece by piece, without changing anything: `kalshi-data doctor`.

In: settings. Out: checks, each a sentence with a fix where it fails, and what this host can run. Read check.py first.
"""
