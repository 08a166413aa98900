from hypothesis import given
from hypothesis import strategies as st

from app.markets.quotes import TITLES_PER_BLOCK, PackedTitles

slots = st.integers(0, 3 * TITLES_PER_BLOCK)
titles = st.text(max_size=40)


@given(st.lists(st.tuples(slots, st.none() | titles)))
def test_a_title_comes_back_as_it_was_put_there_last(steps):
    """None: it is only read, which opens its block."""
    packed, expected = PackedTitles(), {}
    for slot, title in steps:
        if title is not None:
            packed[slot] = expected[slot] = title
        assert packed[slot] == expected.get(slot, "")
    assert {slot: packed[slot] for slot in expected} == expected


def test_a_block_that_was_read_says_what_was_written_to_it_since():
    packed = PackedTitles()
    packed[0] = "before"
    packed[TITLES_PER_BLOCK] = "elsewhere, so that the first block is packed"
    assert packed[0] == "before"
    packed[0] = "after"
    packed[TITLES_PER_BLOCK] = "elsewhere again"
    assert packed[0] == "after"


def test_neighbours_titles_take_a_fraction_of_their_text():
    packed, texts = PackedTitles(), []
    for slot in range(20 * TITLES_PER_BLOCK):
        texts.append(f"Will the highest temperature in Denver be above {slot % 50}° on November {slot // 50}, 2026?")
        packed[slot] = texts[-1]
    assert sum(map(len, packed._blocks)) < sum(map(len, texts)) / 4
