"""The market registry's core: every known market, in columns that hold a million of them.

In: REST objects and lifecycle messages. Out: rows of markets and events, and changes of what is to be recorded.
Read registry.py first, then ingest.py.
"""
