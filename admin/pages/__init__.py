"""Pages for people: the status page with its panels, and a page for each market.

In: the same queries that the API answers. Out: HTML from templates/, which also works in browsers without scripts.
Read views.py first.
"""
