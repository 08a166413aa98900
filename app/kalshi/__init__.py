"""The exchange's protocol: signed REST calls within a request budget, WebSockets, and their messages.

In: bytes from the exchange. Out: messages and objects, each decoded once; errors.py lists what can go wrong.
Read messages.py first, then websocket.py and rest_client.py.
"""
