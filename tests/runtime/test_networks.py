"""Which addresses a setting names, and what it may not be."""

import ipaddress

import pytest

from app.errors import SettingsError
from app.runtime.networks import Networks, address_of
from app.settings.loading import load_settings


@pytest.mark.parametrize(
    ("text", "is_named"),
    [
        ("127.0.0.1", True),
        ("::ffff:127.0.0.1", True),
        ("10.0.1.200", True),
        ("::1", True),
        ("127.0.0.2", False),
        ("10.0.2.1", False),
        ("::2", False),
    ],
)
def test_an_address_is_named_by_itself_or_its_network(text, is_named):
    assert (address_of(text) in Networks("127.0.0.1, 10.0.1.0/24 ::1")) == is_named


@pytest.mark.parametrize("text", ["", "localhost", "0.0.0.0/0", "::/0", "10.0.0.1/24", "10.0.0.0/33", "10.0.0.1;::1"])
def test_what_names_no_network_or_all_of_them_is_refused(text):
    with pytest.raises(SettingsError, match="KALSHI_ADMIN_PROXY is"):
        load_settings({"KALSHI_ADMIN_PROXY": text})


def test_what_is_no_address_is_refused():
    with pytest.raises(ValueError, match="nowhere"):
        address_of("nowhere")
    assert address_of("::ffff:10.0.0.1") == ipaddress.ip_address("10.0.0.1")
