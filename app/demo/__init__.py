"""The demo: the whole platform on this machine, in front of the simulated exchange or of the real one.

In: the options of `kalshi-data demo`. Out: a running platform, and a summary that proves what it recorded.
Read runs.py first.
"""
