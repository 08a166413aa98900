from app.normalize.stream import GapTracker


def test_nothing_is_in_doubt_before_a_gap():
    assert not GapTracker().may_lack_change(1, "A")


def test_each_market_is_in_doubt_until_its_own_snapshot():
    doubt = GapTracker()
    doubt.begin(1)
    doubt.snapshot(1, "A")
    assert [doubt.may_lack_change(1, "A"), doubt.may_lack_change(1, "B")] == [False, True]


def test_a_gap_on_one_subscription_leaves_the_others_alone():
    doubt = GapTracker()
    doubt.begin(1)
    doubt.snapshot(2, "A")
    assert [doubt.may_lack_change(1, "A"), doubt.may_lack_change(2, "A")] == [True, False]


def test_another_gap_puts_all_in_doubt_again():
    doubt = GapTracker()
    doubt.begin(1)
    doubt.snapshot(1, "A")
    doubt.begin(1)
    assert doubt.may_lack_change(1, "A")


def test_doubt_ends_with_the_last_snapshot_or_with_the_subscription():
    doubt = GapTracker()
    doubt.begin(1)
    doubt.end(1)
    doubt.end(1)
    assert not doubt.may_lack_change(1, "A")
