"""PostgreSQL: connections and their errors, which database is meant, the embedded server.

In: settings. Out: connections whose errors are ours.
Read connection.py first.
"""
