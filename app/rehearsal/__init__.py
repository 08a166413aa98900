"""Ask the real exchange whether the design's assumptions hold: `kalshi-data rehearse`.

In: settings with a key that may read. Out: a report with a verdict for each entry of assumptions.py, and a bundle of
samples.
Read rehearsal.py first; verdicts are pure functions of what rest_probe.py and listeners.py collected.
"""
