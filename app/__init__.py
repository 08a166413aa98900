"""The core: everything but the processes of workers/ and the service of admin/. It imports neither of them.

The way of the data: kalshi, normalize, storage, merge, coverage and audit, lake; markets, subscriptions and polling
decide what is asked for. Read kalshi/messages.py first, then subscriptions/router.py.
"""

__version__ = "0.1.0"
