"""Manage what each socket subscribes to, receives and lacks.

In: messages, and changes of the market registry. Out: commands, rows for the writers, the journal of gaps.
Read router.py first (the message router), then book_subscription.py.
"""
