"""Looking for false claims for so long: batch after batch of histories, each batch from a seed of its own."""

import time

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.claims.machine import DRAWS, Claims

# Time is looked at after each batch.
BATCH = 2
STEPS = 20
QUICK, THOROUGH = (Phase.generate,), (Phase.generate, Phase.shrink)


def machine(laboratory, draws=DRAWS):
    """A class of its own, with figures of its own."""
    return type("Claims", (Claims,), {"laboratory": laboratory, "draws": frozenset(draws)})


def prove(kind, seeds, seconds, steps=STEPS, phases=QUICK):
    """Raises the first false claim, with a history that makes it: a short one, if there is time to look for that."""
    until = time.perf_counter() + seconds
    budget = settings(
        max_examples=BATCH,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        phases=phases,
        suppress_health_check=list(HealthCheck),
    )
    for number in seeds:
        kind.seed = number
        run_state_machine_as_test(seed(number)(kind), settings=budget)
        if time.perf_counter() >= until:
            return


def summary(kind, seconds):
    return (
        f"{kind.histories} histories, {kind.events} events in {seconds:.0f} s, up to seed {kind.seed}: "
        f"{kind.false_claims} with a false claim"
    )


def story_of(kind):
    story, claim = kind.shortest
    return "\n".join([*(f"    state.{step}" for step in story), claim])
