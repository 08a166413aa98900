"""The ops port of every process: health, metrics, live state, and the description of endpoints and errors.

In: HTTP requests of this host and of the admin service. Out: JSON, Prometheus' text format, problem details.
Read application.py first.
"""
