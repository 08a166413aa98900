MOST_STAGED_BATCHES = 128


class Conflicts:
    """Expects whether the next batch has a row that is known: a plain COPY would be in vain then, and staging better.

    The more often that came true, the longer it is expected. Rows that are written once more after they went to disk
    are one conflict; those that each of two sockets brings are one in nearly every batch.
    """

    def __init__(self) -> None:
        self._expected_batches = 0
        self._batches_after_next = 1

    def are_expected(self) -> bool:
        """Asked once a batch."""
        if self._expected_batches == 0:
            return False
        self._expected_batches -= 1
        return True

    def met_one(self) -> None:
        self._expected_batches = self._batches_after_next
        self._batches_after_next = min(2 * self._batches_after_next, MOST_STAGED_BATCHES)

    def met_none(self) -> None:
        self._batches_after_next = max(self._batches_after_next // 2, 1)
