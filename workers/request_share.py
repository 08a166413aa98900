from app import logs
from app.kalshi.account_limits import AccountLimits
from app.kalshi.rest_client import RestClient
from app.stopping import Stopping
from workers.component import Component

log = logs.get(__name__)

RETRY_SECONDS = 300.0


class RequestShare:
    """Asks for the account's request budget until it is told, and takes this process's part of it."""

    def __init__(
        self, client: RestClient, sharers: int, stopping: Stopping, retry_seconds: float = RETRY_SECONDS
    ) -> None:
        self.component = Component("request_share", stopping)
        self._client = client
        self._sharers = sharers
        self._stopping = stopping
        self._retry_seconds = retry_seconds

    def run(self) -> None:
        self.component.run(self._run)

    def _run(self) -> None:
        while not self.component.tries(self._adopt):
            self._stopping.wait(self._retry_seconds)

    def _adopt(self) -> None:
        adopted: AccountLimits | None = self._client.adopt_account_limits(self._sharers)
        if adopted is not None:
            tokens = adopted.read.limits.tokens_per_second
            log.info("request budget", tokens_per_second=tokens, shared_by=self._sharers)
