"""Check what the platform depends on, piece by piece, without changing anything: `kalshi-data doctor`.

In: settings. Out: checks, each a sentence with a fix if it fails, and what this host can run. Read check.py first.
"""
