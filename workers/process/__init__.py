"""The parts that every process shares: supervised greenlets, loops, components, the ops port, and requested jobs.

In: settings and the workers of a process. Out: an exit code, and what systemd and the ops port show.
Read group.py first.
"""
