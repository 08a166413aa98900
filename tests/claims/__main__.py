"""`make proof`: looks for false claims for as long as it is told, and says how to look at the same histories again."""

import argparse
import itertools
import secrets
import sys
import time

from app.runtime import logs
from tests.claims.laboratory import laboratory
from tests.claims.machine import DRAWS
from tests.claims.proving import STEPS, THOROUGH, machine, prove, story_of, summary


def arguments():
    parser = argparse.ArgumentParser(prog="make proof ARGS=...", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, help="the first one; others follow it (default: any)")
    parser.add_argument("--steps", type=int, default=STEPS, help="of a history")
    parser.add_argument("--only", nargs="*", choices=sorted(DRAWS), default=sorted(DRAWS), help="what may happen")
    parser.add_argument("--without", nargs="*", choices=sorted(DRAWS), default=[])
    return parser.parse_args()


def main():
    given = arguments()
    logs.configure("text", "critical")
    first = secrets.randbelow(10**9) if given.seed is None else given.seed
    print(f"seeds from {first}", flush=True)
    started = time.perf_counter()
    with laboratory() as made:
        kind = machine(made, set(given.only) - set(given.without))
        try:
            prove(kind, itertools.count(first), given.seconds, given.steps, THOROUGH)
        except AssertionError:
            print(story_of(kind))
        except KeyboardInterrupt:
            print("stopped")
        print(summary(kind, time.perf_counter() - started))
    return 1 if kind.false_claims else 0


if __name__ == "__main__":
    sys.exit(main())
