from app import logs
from app.kalshi.account_limits import AccountLimits
from app.kalshi.rest_client import RestClient
from app.kalshi.token_bucket import BASIC, Limits
from app.polling.fetchers import fetchers_for
from workers.component import Component
from workers.group import Group
from workers.snapshot_poller import SnapshotPoller

log = logs.get(__name__)


class Account:
    """Asks for the account's request budget; how many poll at a time follows from it."""

    def __init__(self, client: RestClient, gatherers: int, poller: SnapshotPoller, group: Group) -> None:
        self.component = Component("account", group.stopping)
        self._client = client
        self._gatherers = gatherers
        self._poller = poller
        self._group = group
        self._fetchers = 0

    def run(self) -> None:
        self.component.run(self._adopt)

    def _adopt(self) -> None:
        adopted: list[AccountLimits | None] = []
        try:
            self.component.tries(lambda: adopted.append(self._client.adopt_account_limits(self._gatherers)))
        finally:
            # Without an answer that is understood, it is the lowest tier's: recording goes on.
            limits = adopted[0] if adopted else None
            self._poll(limits.read.limits if limits else BASIC)

    def _poll(self, read: Limits) -> None:
        log.info("request budget", tokens_per_second=read.tokens_per_second, shared_by=self._gatherers)
        fetchers = fetchers_for(read.shared_by(self._gatherers))
        self._poller.start(self._group, max(fetchers - self._fetchers, 0))
        self._fetchers = max(fetchers, self._fetchers)
