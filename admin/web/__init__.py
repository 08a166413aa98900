"""What every request passes: the proxy in front, tokens and sessions, headers, the pool of database connections.

In: requests as gunicorn hands them over. Out: requests whose client and role are known.
Read access.py first.
"""
