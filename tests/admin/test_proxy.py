"""What a proxy tells of a client, and of whom it is believed."""

import pytest

from admin.web.proxy import ForwardingError, client_environ, is_forwarded
from app.runtime.networks import Networks

PROXIES = Networks("127.0.0.1, 10.0.1.0/24")


def seen(peer="127.0.0.1", proxies=PROXIES, **headers):
    environ = {"REMOTE_ADDR": peer, **{f"HTTP_{name.upper()}": value for name, value in headers.items()}}
    assert is_forwarded(environ)
    return client_environ(environ, proxies)


@pytest.mark.parametrize(
    ("told", "client"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("198.51.100.1, 203.0.113.7", "203.0.113.7"),  # what the client says of itself counts for nothing
        ("203.0.113.7, 10.0.1.9", "203.0.113.7"),  # through two proxies of ours
        ("nonsense, 203.0.113.7, 10.0.1.9", "203.0.113.7"),
        ("10.0.1.9", "10.0.1.9"),
        ("203.0.113.7:4711", "203.0.113.7"),
        ("[2001:db8::7]:4711", "2001:db8::7"),
        ("2001:db8::7", "2001:db8::7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
    ],
)
def test_the_client_is_whom_the_first_proxy_of_ours_saw(told, client):
    assert seen(x_forwarded_for=told)["REMOTE_ADDR"] == client


def test_scheme_and_host_are_those_that_the_nearest_proxy_tells():
    told = seen(x_forwarded_proto="http, https", x_forwarded_host="evil.example, admin.example")
    assert told == {"REMOTE_ADDR": "127.0.0.1", "wsgi.url_scheme": "https", "HTTP_HOST": "admin.example"}


@pytest.mark.parametrize("headers", [{"x_forwarded_for": "unknown"}, {"x_forwarded_proto": "gopher"}])
def test_nonsense_is_refused(headers):
    with pytest.raises(ForwardingError):
        seen(**headers)


@pytest.mark.parametrize("proxies", [None, Networks("10.0.1.0/24")])
def test_nobody_else_is_believed(proxies):
    with pytest.raises(ForwardingError, match="KALSHI_ADMIN_PROXY"):
        seen(x_forwarded_for="203.0.113.7", proxies=proxies)


def test_what_no_proxy_touched_is_as_it_is():
    assert not is_forwarded({"REMOTE_ADDR": "127.0.0.1", "HTTP_HOST": "localhost", "HTTP_X_REQUESTED_WITH": "x"})
