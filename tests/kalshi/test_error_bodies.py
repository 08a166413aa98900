import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.kalshi.errors import reason_of


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b'{"error":{"code":"not_found","message":"not found"}}', "not_found: not found"),
        (b'{"code":"bad_request","message":"limit","details":"at most 1000"}', "bad_request: limit at most 1000"),
        (b'{"error":"too many requests"}', "too many requests"),
        (b'{"error":null}', '{"error":null}'),
        (b'{"code":17,"message":null}', "17"),
        (b"<html>502 Bad Gateway</html>\n", "<html>502 Bad Gateway</html>"),
        (b"", ""),
    ],
)
def test_what_the_exchange_says_is_understood_in_every_form(body, told):
    assert str(reason_of(body)) == told


@given(st.binary(max_size=400) | st.text(max_size=400).map(str.encode))
def test_any_body_has_some_reason(body):
    assert len(str(reason_of(body))) <= 400
