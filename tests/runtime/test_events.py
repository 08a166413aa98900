import time

import gevent

from app.runtime.events import Event


def test_one_that_waits_on_a_set_event_is_told_though_the_wait_of_another_ends_just_then():
    """All three are due in one turn of the hub: the event is set, one begins to wait, and the wait of another ends."""
    event, told = Event(), []

    def set_it():
        gevent.sleep(0.01)
        event.set()

    def begin_to_wait():
        gevent.sleep(0.02)
        told.append(event.wait(60))

    greenlets = [gevent.spawn(set_it), gevent.spawn(begin_to_wait), gevent.spawn(event.wait, 0.03)]
    gevent.sleep(0)
    until = time.monotonic() + 0.1
    while time.monotonic() < until:
        continue  # the hub is kept from its timers until all are due
    assert len(gevent.joinall(greenlets, timeout=30)) == len(greenlets)
    assert told == [True]


def test_a_wait_without_the_event_ends_with_its_timeout():
    assert Event().wait(0) is False
