"""The word in which a page says where the next one begins."""

import contextlib
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from marshmallow import ValidationError

from admin.api.paging import Key, moment, number, printable, read, written

KEYS = (Key("at", moment), Key("n", number), Key("name", printable))
moments = st.datetimes(datetime(2000, 1, 1), datetime(2199, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
names = st.text(st.characters(codec="utf-8")).filter(str.isprintable)


@given(moments, st.integers(-(2**63), 2**63 - 1), names)
def test_a_key_is_read_as_it_was_written(at, n, name):
    told = written(KEYS, {"at": at.isoformat(), "n": n, "name": name})
    assert read(KEYS, told) == [at, n, name]
    assert "+" not in told.removesuffix(name)


@given(st.text())
def test_whatever_else_is_given_is_read_or_refused_by_name(text):
    with contextlib.suppress(ValidationError):
        assert len(read(KEYS, text)) == len(KEYS)


@pytest.mark.parametrize("text", ["", "x", "2026-11-21~1~a", "2026-11-21T00:00:00Z~9223372036854775808~a"])
def test_what_no_page_has_said_is_refused(text):
    with pytest.raises(ValidationError):
        read(KEYS, text)
