"""How wild trading is: three named profiles, of which docs/simulator.md says what each is modelled on.

A profile belongs to a history as its seed does: the same seed and profile give the same history.
"""

from typing import NamedTuple


class Profile(NamedTuple):
    """What the traders do besides single orders, and what the exchange does at a close."""

    bursts_in_64: int = 0  # of the traders' actions, how many are bursts of orders within one millisecond
    longest_burst: int = 0  # changes
    most_identical: int = 1  # changes of a burst that are equal in every field
    whole_cents_in_8: int = 0  # of the prices between two cents, how many are moved to the cent below
    whole_sizes_in_8: int = 0  # of the sizes with a fraction, how many are whole after all
    empties_at_close: bool = False  # the book, without changes; it is shown twice afterwards


QUIET, TYPICAL, WILD = "quiet", "typical", "wild"
_TYPICAL = Profile(
    bursts_in_64=4,
    longest_burst=56,
    most_identical=12,
    whole_cents_in_8=4,
    whole_sizes_in_8=5,
    empties_at_close=True,
)
PROFILES = {
    QUIET: Profile(),
    TYPICAL: _TYPICAL,
    WILD: _TYPICAL._replace(bursts_in_64=8, longest_burst=679, most_identical=50, whole_cents_in_8=3),
}
