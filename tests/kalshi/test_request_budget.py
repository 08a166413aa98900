import heapq
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.kalshi.request_budget import (
    BASIC,
    NS_PER_SECOND,
    BudgetLimits,
    Priority,
    QueueFullError,
    RequestBudget,
    RequestQueue,
    TokenBucket,
)
from app.runtime.health import StoppedError
from tests.processes import run, wait_until

LIMITS = st.builds(BudgetLimits, st.integers(1, 1_000), st.integers(30, 1_000))
CALLS = st.lists(
    st.tuples(st.integers(0, 5 * NS_PER_SECOND), st.sampled_from(Priority), st.integers(1, 30)), min_size=1, max_size=60
)
DELAYS = st.lists(st.integers(0, NS_PER_SECOND // 5), min_size=1, max_size=20)


def serve(limits, calls, delays_ns=(0,)):
    """Plays the calls on a virtual clock; each tries again when it was told to, or later by the delays in turn.

    Returns (time, ticket, tickets still waiting, tokens left) of each that paid.
    """
    bucket = TokenBucket(limits, 0)
    line = RequestQueue(bucket, max_waiting=1_000)
    events = [(arrived_ns, number, None) for number, (arrived_ns, _, _) in enumerate(calls)]
    heapq.heapify(events)
    paid = []
    tries = 0
    while events:
        now_ns, number, ticket = heapq.heappop(events)
        ticket = ticket or line.join(*calls[number][1:])
        wait_ns = line.pay(ticket, now_ns)
        if wait_ns == 0:
            paid.append((now_ns, ticket, list(line._waiting), bucket._tokens_e9))
            continue
        tries += 1
        heapq.heappush(events, (now_ns + wait_ns + delays_ns[tries % len(delays_ns)], number, ticket))
    assert len(line) == 0
    return paid


@given(LIMITS, CALLS, DELAYS)
def test_never_more_is_taken_than_the_bucket_holds_and_refills(limits, calls, delays_ns):
    taken = [(now_ns, ticket.tokens) for now_ns, ticket, _, _ in serve(limits, calls, delays_ns)]
    for first in range(len(taken)):
        total = 0
        for now_ns, tokens in taken[first:]:
            total += tokens
            elapsed_ns = now_ns - taken[first][0]
            assert total * NS_PER_SECOND <= limits.capacity * NS_PER_SECOND + limits.tokens_per_second * elapsed_ns


@given(LIMITS, CALLS, DELAYS)
def test_whoever_is_ahead_is_left_what_it_needs(limits, calls, delays_ns):
    for _, ticket, waiting, left_e9 in serve(limits, calls, delays_ns):
        assert left_e9 >= sum(other.tokens for other in waiting if other < ticket) * NS_PER_SECOND


@given(LIMITS, CALLS)
def test_a_waiting_higher_priority_goes_first(limits, calls):
    for _, ticket, waiting, _ in serve(limits, calls):
        assert all(other.priority >= ticket.priority for other in waiting)


@given(LIMITS, CALLS)
def test_within_a_priority_the_first_come_is_the_first_served(limits, calls):
    for priority in Priority:
        numbers = [ticket.number for _, ticket, _, _ in serve(limits, calls) if ticket.priority == priority]
        assert numbers == sorted(numbers)


@given(LIMITS, CALLS, DELAYS)
def test_nobody_waits_longer_than_everybody_together_needs(limits, calls, delays_ns):
    paid = serve(limits, calls, delays_ns)
    assert len(paid) == len(calls)
    needed_ns = sum(tokens for _, _, tokens in calls) * NS_PER_SECOND // limits.tokens_per_second + 1
    slack_ns = len(calls) * max(delays_ns)
    assert paid[-1][0] <= max(arrived_ns for arrived_ns, _, _ in calls) + needed_ns + slack_ns


def test_a_line_is_only_so_long():
    line = RequestQueue(TokenBucket(BASIC, 0), max_waiting=2)
    for _ in range(2):
        line.join(Priority.POLLING, 10)
    with pytest.raises(QueueFullError):
        line.join(Priority.RECONCILE, 10)


def test_whoever_leaves_makes_room():
    line = RequestQueue(TokenBucket(BudgetLimits(1, 10), 0), max_waiting=2)
    gone, stays = line.join(Priority.REPAIR, 10), line.join(Priority.REPAIR, 10)
    line.leave(gone)
    assert line.pay(stays, 0) == 0


def test_other_limits_hold_from_now_on():
    bucket = TokenBucket(BudgetLimits(10, 100), 0)
    bucket.change(BudgetLimits(20, 50), 0)
    assert bucket.ns_until(60, 0) == NS_PER_SECOND // 2
    bucket.empty(0)
    assert bucket.ns_until(20, 0) == NS_PER_SECOND


def test_limits_are_shared_by_processes_that_use_one_key():
    assert BASIC.shared_by(3) == (66, 200)
    assert BASIC.shared_by(1_000) == (1, 10)


class TimeThatPassesByWaiting:
    """The clock and the end of a process: a wait ends at once, and only waits make it later."""

    def __init__(self):
        self.now_ns = 0
        self._lock = threading.Lock()

    def is_set(self):
        return False

    def wait(self, seconds):
        with self._lock:
            self.now_ns += round(seconds * NS_PER_SECOND)
        return False


def test_threads_share_it():
    time = TimeThatPassesByWaiting()
    budget = RequestBudget(BudgetLimits(tokens_per_second=2_000, capacity=100), clock_ns=lambda: time.now_ns)
    callers = [
        threading.Thread(target=lambda: [budget.acquire(Priority.REPAIR, time) for _ in range(5)]) for _ in range(8)
    ]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    # 400 tokens, of which 100 are there at the start.
    assert time.now_ns >= 300 * NS_PER_SECOND // 2_000
    assert budget.waits > 0
    assert budget.waiting == 0


def test_a_stop_ends_the_wait_and_frees_the_place():
    budget = RequestBudget(BudgetLimits(tokens_per_second=1, capacity=10))
    stopping = threading.Event()
    budget.acquire(Priority.POLLING, stopping)
    ended = []

    def wait():
        with pytest.raises(StoppedError):
            budget.acquire(Priority.POLLING, stopping)
        ended.append(True)

    waiter = threading.Thread(target=wait)
    waiter.start()
    wait_until(lambda: budget.waiting == 1)
    stopping.set()
    waiter.join(120)
    assert ended
    assert budget.waiting == 0


GREENLETS = """
from gevent import monkey
monkey.patch_all()
import gevent, gevent.pool
from app.kalshi.request_budget import BudgetLimits, Priority, RequestBudget
from app.runtime.events import Event
from app.runtime.health import StoppedError

budget = RequestBudget(BudgetLimits(tokens_per_second=1_000, capacity=10))
stopping = Event()
served = []

def call(priority):
    budget.acquire(priority, stopping)
    served.append(priority.name)

group = gevent.pool.Group()
for priority in (Priority.POLLING, Priority.POLLING, Priority.REPAIR, Priority.RECONCILE, Priority.RECONCILE):
    group.spawn(call, priority)
group.join(120)
print(*served)

def wait_for_ever():
    try:
        budget.acquire(Priority.POLLING, stopping)
    except StoppedError:
        print("stopped", budget.waiting)

budget.change(BudgetLimits(tokens_per_second=1, capacity=10_000))
budget.empty()
waiter = group.spawn(wait_for_ever)
gevent.sleep(0)
stopping.set()
waiter.join(120)
"""


def test_greenlets_share_it():
    done = run("-c", GREENLETS)
    # The first finds the bucket full; the others come to wait.
    assert done.stdout.splitlines() == ["POLLING RECONCILE RECONCILE REPAIR POLLING", "stopped 0"], done.stderr
