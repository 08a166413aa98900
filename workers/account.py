from app import logs
from app.kalshi.rest_client import RestClient
from app.kalshi.token_bucket import BASIC
from app.polling.fetchers import fetchers_for
from workers.component import Component
from workers.group import Group
from workers.snapshot_poller import SnapshotPoller

log = logs.get(__name__)


class Account:
    """Asks for the account's request budget once; how many poll at a time follows from it."""

    def __init__(self, client: RestClient, gatherers: int, poller: SnapshotPoller, group: Group) -> None:
        self.component = Component("account")
        self._client = client
        self._gatherers = gatherers
        self._poller = poller
        self._group = group

    def run(self) -> None:
        self.component.run(self._adopt)

    def _adopt(self) -> None:
        limits = self._client.adopt_account_limits(self._gatherers)
        read = limits.read.limits if limits else BASIC
        log.info("request budget", tokens_per_second=read.tokens_per_second, shared_by=self._gatherers)
        self._poller.start(self._group, fetchers_for(read.shared_by(self._gatherers)))
