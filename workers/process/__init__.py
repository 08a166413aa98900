"""The parts that every process shares: supervised greenlets, components, the ops port, and jobs requested by users.

In: settings and the workers of a process. Out: an exit code, and what systemd and the ops port show.
Read group.py first.
"""
