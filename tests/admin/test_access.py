"""Who may do what: every endpoint with every role, and what people try who may not."""

import pytest

from admin.web.access import FailureLimit
from app.ops.endpoint import description_of
from app.runtime.secrets import TokenRole, Tokens, new_token
from tests.admin.asked import Asked, service_of

ROLES = (TokenRole.NOBODY, TokenRole.READ, TokenRole.OPERATE)
FILLED = {
    "ticker": "KX-GONE",
    "event_ticker": "KX-GONE",
    "quarantine_id": 999,
    "job_id": 999,
    "name": "audit",
    "table": "trades",
    "filename": "admin.css",
}


@pytest.fixture(scope="module")
def guarded(seeded, tokens):
    """The service with tokens, as holders of each role meet it."""
    presented, known = tokens
    app = service_of(seeded, known)
    return app, {role: Asked(app, presented.get(role)) for role in ROLES}


@pytest.fixture
def fresh(seeded, tokens):
    """The same, without a memory of failures."""
    return Asked(service_of(seeded, tokens[1]))


def endpoints(app):
    for rule in app.url_map.iter_rules():
        with app.test_request_context():
            address = app.url_for(rule.endpoint, **{name: FILLED[name] for name in rule.arguments})
        for method in sorted(rule.methods - {"HEAD", "OPTIONS"}):
            yield method, address, rule.endpoint


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_every_endpoint_is_for_its_role_and_those_above(guarded, role):
    app, clients = guarded
    seen = set()
    for method, address, endpoint in endpoints(app):
        description = description_of(app.view_functions[endpoint])
        needed = TokenRole.NOBODY if endpoint == "static" else description.role
        status = clients[role].ask(method, address).status_code
        refusals = {401, 403} if address.startswith(("/admin", "/openapi")) else {401, 403, 303}
        is_refused = status in refusals and endpoint not in {"login.log_in", "login.log_out"}
        assert is_refused == (role < needed), (method, address, status)
        seen.add((needed, method))
    assert {
        (TokenRole.READ, "GET"),
        (TokenRole.OPERATE, "POST"),
        (TokenRole.OPERATE, "DELETE"),
        (TokenRole.OPERATE, "GET"),
    } <= seen


def test_what_is_not_marked_needs_the_highest_role(guarded):
    app, _ = guarded
    unmarked = [name for name, view in app.view_functions.items() if description_of(view) is None]
    assert unmarked == ["static"]


def test_all_that_changes_something_needs_the_highest_role(guarded):
    app, _ = guarded
    for method, address, endpoint in endpoints(app):
        if method != "GET" and not address.startswith(("/login", "/logout")):
            assert description_of(app.view_functions[endpoint]).role is TokenRole.OPERATE, endpoint


@pytest.mark.parametrize(
    "header",
    [
        "Bearer",
        "Bearer ",
        "Bearer wrong",
        "Basic dXNlcjpwYXNz",
        "bearer\twrong",
        "Bearer \x7f",
        "B" * 5_000,
        "Bearer ü",
    ],
)
def test_a_wrong_token_is_refused(fresh, header):
    answer = fresh.get("/admin/series", headers={"Authorization": header.encode().decode("latin-1")})
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert answer.mimetype == "application/problem+json"


def test_a_token_alone_is_enough_and_shows_nowhere(fresh, tokens):
    presented = tokens[0][TokenRole.READ]
    answer = fresh.get("/admin/series", headers={"Authorization": f"bearer {presented}"})
    assert answer.status_code == 200
    assert presented not in answer.text + str(answer.headers)
    assert presented not in repr(tokens[1])


def test_after_too_many_failures_an_address_has_to_wait(fresh):
    statuses = [fresh.get("/admin/series", headers={"Authorization": "Bearer wrong"}).status_code for _ in range(12)]
    assert statuses == [401] * 10 + [429] * 2
    wrong = {"Authorization": "Bearer wrong"}
    assert 0 < int(fresh.get("/admin/series", headers=wrong).headers["Retry-After"]) <= 60
    elsewhere = fresh.get("/admin/series", headers=wrong, environ_base={"REMOTE_ADDR": "10.0.0.9"})
    assert elsewhere.status_code == 401


def test_a_right_token_is_accepted_whatever_others_at_its_address_tried(fresh, tokens):
    presented = tokens[0][TokenRole.READ]
    for _ in range(12):
        fresh.get("/admin/series", headers={"Authorization": "Bearer wrong"})
    assert fresh.get("/admin/series", headers={"Authorization": f"Bearer {presented}"}).status_code == 200
    assert fresh.ask("POST", "/login", data={"token": presented}).status_code == 303


def test_the_addresses_of_one_ipv6_site_have_one_count(fresh):
    wrong = {"Authorization": "Bearer wrong"}
    addresses = [f"2001:db8:1:2::{number:x}" for number in range(11)] + ["2001:db8:1:3::1"]
    statuses = [
        fresh.get("/admin/series", headers=wrong, environ_base={"REMOTE_ADDR": address}).status_code
        for address in addresses
    ]
    assert statuses == [401] * 10 + [429, 401]


def test_failures_are_forgotten_and_only_so_many_addresses_are_remembered():
    now = [0.0]
    limit = FailureLimit(most=2, period_seconds=10, most_addresses=3, clock=lambda: now[0])
    for address in ("a", "a", "b", "c", "d"):
        limit.failed(address)
    assert limit.wait_seconds("a") == 0  # forgotten for the sake of the later ones
    limit.failed("d")
    now[0] = 4
    assert limit.wait_seconds("d") == 6
    now[0] = 10
    assert limit.wait_seconds("d") == 0


def test_without_tokens_only_this_machine_is_answered(api):
    assert api.get("/admin/series").status_code == 200
    assert api.get("/admin/series", environ_base={"REMOTE_ADDR": "10.0.0.9"}).status_code == 403
    assert api.get("/health", environ_base={"REMOTE_ADDR": "10.0.0.9"}).status_code == 200


@pytest.mark.parametrize(
    "header", ["Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Real-IP"]
)
def test_what_a_proxy_forwards_is_refused_where_none_is_named(api, fresh, tokens, header):
    with_token = {"Authorization": f"Bearer {tokens[0][TokenRole.READ]}"}
    for client, path in ((api, "/admin/series"), (fresh, "/admin/series"), (fresh, "/login"), (fresh, "/health")):
        answer = client.get(path, headers={header: "127.0.0.1", **(with_token if client is fresh else {})})
        assert answer.status_code == 403
        assert "KALSHI_ADMIN_PROXY" in answer.json["detail"]


def test_without_tokens_a_proxy_that_says_nothing_of_itself_is_known_by_its_old_protocol(api, fresh, tokens):
    """nginx asks so unless it is told otherwise."""
    older = {"SERVER_PROTOCOL": "HTTP/1.0"}
    assert api.get("/admin/series", environ_overrides=older).status_code == 403
    assert api.get("/health", environ_overrides=older).status_code == 200
    with_token = {"Authorization": f"Bearer {tokens[0][TokenRole.READ]}"}
    assert fresh.get("/admin/series", headers=with_token, environ_overrides=older).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:8000"])
def test_a_name_that_points_here_is_not_this_machine(api, host):
    assert api.get("/admin/series", headers={"Host": host}).status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://[::1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "http://localhost", "Sec-Fetch-Site": "cross-site"},
    ],
)
def test_another_site_s_page_cannot_change_anything(api, headers):
    answer = api.post("/admin/cursors/rewind", {"gatherer": "gatherer-1a", "table": "trades"}, headers=headers)
    assert answer.status_code == 403
    own = {"Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}
    answer = api.post("/admin/cursors/rewind", {"gatherer": "gatherer-1a", "table": "trades"}, headers=own)
    assert answer.status_code == 200


def test_every_answer_tells_browsers_to_be_careful(guarded):
    _, clients = guarded
    for path in ("/", "/admin/series", "/nowhere", "/login", "/health", "/static/admin.css"):
        headers = clients[TokenRole.READ].get(path).headers
        assert "default-src 'self'" in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# nothing",
        "ada read",
        "ada admin " + "0" * 64,
        "ada read " + "g" * 64,
        "a b read " + "0" * 64,
        "ada read " + "0" * 64 + " 2027-02-30",
    ],
)
def test_a_file_of_tokens_that_is_wrong_is_refused_without_showing_it(text):
    with pytest.raises(ValueError) as refusal:  # noqa: PT011 - what the settings turn into their own
        Tokens(text)
    assert "0000" not in str(refusal.value)


def test_a_name_stands_for_one_token():
    entries = [new_token("ada", TokenRole.READ)[1].entry for _ in range(2)]
    with pytest.raises(ValueError, match="the same name"):
        Tokens("\n".join(entries))
