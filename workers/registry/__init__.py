"""The market registry at work: it keeps app/markets up to date from REST and lifecycle messages.

In: REST, lifecycle messages, the clock. Out: a registry that the connection manager and the pollers ask.
Read registry.py first.
"""
