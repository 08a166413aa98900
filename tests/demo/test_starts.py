import os

from app.demo.runs import APART_SECONDS, too_soon_seconds


def test_the_first_start_waits_for_nothing(tmp_path):
    assert too_soon_seconds(tmp_path / "runs", 1_000.0) == 0


def test_the_next_one_keeps_its_distance_from_the_last_history(tmp_path):
    for name, ended_seconds in (("a", 500), ("b", 990)):
        history = tmp_path / name / "truth" / "history.jsonl"
        history.parent.mkdir(parents=True)
        history.touch()
        os.utime(history, (ended_seconds, ended_seconds))
    assert too_soon_seconds(tmp_path, 1_000.0) == APART_SECONDS - 10
    assert too_soon_seconds(tmp_path, 2_000.0) == 0
