class Doubt:
    """Which markets of a connection may lack a change: those of a subscription that lost something, each until its next
    snapshot."""

    def __init__(self) -> None:
        self._settled: dict[int, set[str]] = {}

    def begin(self, sid: int) -> None:
        self._settled[sid] = set()

    def snapshot(self, sid: int, ticker: str) -> None:
        if sid in self._settled:
            self._settled[sid].add(ticker)

    def end(self, sid: int) -> None:
        """All its markets had their snapshot, or it is no more."""
        self._settled.pop(sid, None)

    def holds(self, sid: int, ticker: str) -> bool:
        # Hardly ever is anything in doubt, and this is asked for every change.
        return bool(self._settled) and sid in self._settled and ticker not in self._settled[sid]
