"""Run the whole platform on this machine, with the simulated exchange or the real one.

In: the options of `kalshi-data demo`. Out: a running platform, and a summary that proves what it recorded.
Read runs.py first.
"""
