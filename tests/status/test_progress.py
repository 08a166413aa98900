from app.status.progress import Progress


def noted(*done, every_seconds=10.0):
    progress = Progress()
    for number, each in enumerate(done):
        progress.note(each, 1_000 + number * every_seconds)
    return progress


def test_before_two_looks_nothing_is_said():
    assert noted().words(500) == noted(100).words(500) == ""


def test_the_rest_is_estimated_from_the_rate_of_the_last_minute():
    progress = noted(0, 0, 0, 0, 1_000, 2_000, 3_000, 4_000, 5_000, 6_000)
    assert progress.words(60_000) == ", 100 a second, about 10 min to go"
    assert progress.words() == ", 100 a second"


def test_after_a_setback_it_is_measured_anew():
    assert noted(5_000, 6_000, 10).words(90) == ""
    assert noted(5_000, 6_000, 10, 20).words(90) == ", 1 a second, about 90 s to go"


def test_what_stands_still_has_no_end():
    assert noted(7, 7, 7).words(3) == ", standing still"
    assert noted(7, 8).words(3) == ", one in 10 s, about 30 s to go"


def test_looks_in_quick_succession_are_one():
    progress = noted(0, 5, 10, 15, every_seconds=0.25)
    assert progress.rate() is None
    progress.note(30, 1_003.0)
    assert progress.rate() == 10
