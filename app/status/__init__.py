"""Whether everything is all right, in one sentence, for the status page, the API and the command line.

In: the production database. Out: a `StatusVerdict` with a level, a sentence, the worst problem and its remedy.
verdict.py decides without I/O; readings.py queries what it decides on. Read verdict.py first.
"""
