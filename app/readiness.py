from collections.abc import Callable, Iterable

Readiness = Callable[[], str | None]
"""Why a part of this process is not ready, in words for an operator; None when it is. It answers at once."""


def why_not_ready(parts: Iterable[Readiness]) -> list[str]:
    return [reason for part in parts if (reason := part()) is not None]
