"""Pages for people: the status page with its panels, and a page for each market.

In: the same questions that the API answers. Out: HTML from templates/, without scripts where a browser has none.
Read views.py first.
"""
