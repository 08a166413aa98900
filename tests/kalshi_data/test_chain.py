"""The chain of sealed days: whatever is changed in a link or a day is named, and nothing else."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalshi_data.chain import ChainError, decode, differences, encode, follow, head_of, link_key, merkle_root, next_link

DAY = datetime(2026, 11, 1, tzinfo=UTC)
MANIFESTS = st.dictionaries(
    st.text("abc/=", min_size=1, max_size=8), st.text("0123456789abcdef", min_size=4, max_size=4)
)


def chain_of(days):
    links, head = [], ""
    for number, (day, manifests) in enumerate(days, start=1):
        content = encode(next_link(number, head, DAY + timedelta(days=day), manifests))
        links.append((link_key(number), content))
        head = head_of(content)
    return links


DAYS = st.lists(st.tuples(st.integers(0, 3), MANIFESTS), min_size=1, max_size=6)


@given(DAYS)
def test_a_chain_is_followed_to_its_head_and_gives_each_day_s_latest_link(days):
    links = chain_of(days)
    chain = follow(links)
    assert (chain.broken, chain.head, len(chain.heads)) == (None, head_of(links[-1][1]), len(links))
    assert {link.day: dict(link.manifests) for link in chain.days.values()} == {
        DAY + timedelta(days=day): manifests for day, manifests in days
    }


@given(DAYS, st.data())
def test_a_link_that_is_changed_removed_or_moved_ends_the_chain_or_changes_its_head(days, data):
    links = chain_of(days)
    place = data.draw(st.integers(0, len(links) - 1))
    key, content = links[place]
    spot = data.draw(st.integers(0, len(content) - 1))
    other = bytes([*content[:spot], content[spot] ^ 1, *content[spot + 1 :]])
    changed = follow([*links[:place], (key, other), *links[place + 1 :]])
    assert changed.head != follow(links).head
    removed = follow(links[:place] + links[place + 1 :])
    assert removed.head != follow(links).head
    if place + 1 < len(links):
        assert changed.broken
        assert removed.broken.endswith(f"link {place + 1} is missing before it")


@given(MANIFESTS, MANIFESTS)
def test_days_have_the_same_root_only_if_they_have_the_same_manifests(one, other):
    assert (merkle_root(one) == merkle_root(other)) == (one == other)
    assert (differences(next_link(1, "", DAY, one), other) == []) == (one == other)


def test_the_root_is_that_of_a_binary_tree_of_sha256():
    assert merkle_root({}) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert (
        merkle_root({"b": "2", "a": "1", "c": "3"})
        == "4bb9b03a64e31d97d0c713ce0e29fa4f0244c6e780a8289b3b1841672787f156"
    )


def test_a_difference_names_the_object_and_what_was_done_to_it():
    link = next_link(1, "", DAY, {"kept": "1", "lost": "2", "other": "3"})
    assert differences(link, {"kept": "1", "other": "4", "new": "5"}) == [
        "lost was removed",
        "new was added",
        "other was changed",
    ]


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\xff", b'{"number": 1}'])
def test_a_damaged_link_is_refused(content):
    with pytest.raises(ChainError, match="cannot be read"):
        decode(content)


def test_a_link_whose_root_is_another_day_s_is_refused():
    content = encode(next_link(1, "", DAY, {"a": "1"})).replace(b'"a": "1"', b'"a": "2"')
    with pytest.raises(ChainError, match="root"):
        decode(content)
