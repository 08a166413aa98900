"""Write rows to the database: tables, write queues, binary COPY, the spool, migrations, retention.

In: rows of app/normalize. Out: rows in PostgreSQL, or on disk until it takes them.
Read write_queue.py first, then writer.py.
"""
