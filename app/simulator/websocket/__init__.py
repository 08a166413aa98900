"""The simulator's WebSocket server: handshake, commands, subscriptions, and frames of both wires.

In: connections of clients. Out: the subscribed messages, with the faults that were inflicted.
Read session.py first, then hub.py.
"""
