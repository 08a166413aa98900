"""The simulator's WebSocket server: handshake, commands, subscriptions, and frames of both wires.

In: connections of clients. Out: what they subscribed to, with the faults that were ordered.
Read session.py first, then hub.py.
"""
