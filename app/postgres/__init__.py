"""PostgreSQL: connections and their errors, the choice of databases, the embedded server.

In: settings. Out: connections whose errors are ours.
Read connection.py first.
"""
