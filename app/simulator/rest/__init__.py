"""The simulator's REST: the endpoints, their parameters, limits and errors as the real exchange has them.

In: HTTP requests. Out: bodies out of the catalog and the live markets.
Read application.py first.
"""
