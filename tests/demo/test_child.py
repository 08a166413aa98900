import pytest

from app.demo.processes import Child
from app.errors import OperatorError
from tests.processes import wait_until


@pytest.fixture
def child(tmp_path):
    made = []

    def make(program):
        (tmp_path / "program.py").write_text(program)
        made.append(Child("child", ["program"], {"PYTHONPATH": str(tmp_path), "KALSHI_ONE": "1"}, tmp_path))
        made[-1].start()
        return made[-1]

    yield make
    for each in made:
        each.kill()


OBEDIENT = "import signal\nsignal.signal(signal.SIGTERM, lambda *_: exit(0))\nprint('{\"a\": 1}', flush=True)\n"


def test_what_it_says_first_is_read_and_it_ends_when_asked(child):
    running = child(OBEDIENT + "signal.pause()")
    assert running.first_object() == {"a": 1}
    running.check()
    running.stop()


def test_one_that_ends_by_itself_is_reported_with_its_last_words(child):
    running = child("raise SystemExit('no disk')")
    with pytest.raises(OperatorError, match="no disk"):
        wait_until(running.check)


def test_one_that_ends_with_an_error_when_asked_is_reported(child):
    running = child(OBEDIENT.replace("exit(0)", "exit(3)") + "signal.pause()")
    running.first_object()
    with pytest.raises(OperatorError, match="ended with 3"):
        running.stop()


def test_it_gets_our_settings_only_as_they_are_given(child, monkeypatch):
    monkeypatch.setenv("KALSHI_TWO", "2")
    program = "import json, os\nprint(json.dumps([name for name in os.environ if name.startswith('KALSHI_')]))"
    assert child(program).first_object() == ["KALSHI_ONE"]
