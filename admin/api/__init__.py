"""The admin API: lists, market data, operations and jobs as JSON, CSV and OpenAPI.

In: HTTP requests that admin/web let through. Out: answers from the production database, and from gatherers' ops ports.
Read lists.py first: most endpoints are rows of listings/.
"""
