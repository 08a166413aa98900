"""The quality report: how complete the record of a time is, what proves it, and what each gatherer contributed.

In: production's judgements, journals and audits. Out: figures for each day, and a report of several days as text, JSON
or HTML. Read figures.py first; queries.py and contributions.py compute a day, days.py keeps finished ones.
"""
