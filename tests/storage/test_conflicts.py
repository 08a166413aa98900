from app.storage.writer import MOST_STAGED_BATCHES, Conflicts


def staged(has_known_rows, conflicts=None):
    """How many of these batches go by staging, and how many are copied in vain."""
    conflicts, by_staging, in_vain = conflicts or Conflicts(), 0, 0
    for is_known in has_known_rows:
        if conflicts.are_expected():
            by_staging += 1
        elif is_known:
            conflicts.met_one()
            in_vain += 1
        else:
            conflicts.met_none()
    return by_staging, in_vain


def test_one_conflict_costs_one_batch_by_staging():
    assert staged([False, True] + [False] * 50) == (1, 1)


def test_where_each_batch_has_known_rows_hardly_any_is_copied_in_vain():
    by_staging, in_vain = staged([True] * 2_000)
    assert in_vain < 30
    assert by_staging == 2_000 - in_vain


def test_when_conflicts_are_over_batches_are_copied_again():
    conflicts = Conflicts()
    staged([True] * 2_000, conflicts)
    assert staged([False] * (2 * MOST_STAGED_BATCHES), conflicts)[0] <= MOST_STAGED_BATCHES
    assert staged([False] * 20, conflicts) == (0, 0)
    assert staged([True, False, False], conflicts) == (1, 1)
