"""What every process is made of: its greenlets, its components, its ops port, jobs that people asked for.

In: settings and the parts of a process. Out: an exit code, and what systemd and the ops port are told.
Read group.py first.
"""
