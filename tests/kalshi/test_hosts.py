import pytest

from app.errors import SettingsError
from app.kalshi.endpoints import PRESETS, hosts_of
from app.settings.loading import load_settings


@pytest.mark.parametrize("name", PRESETS)
def test_an_environment_is_chosen_by_name(name):
    assert hosts_of(load_settings({"KALSHI_ENVIRONMENT": name})) == PRESETS[name]


def test_production_is_recorded_unless_told_otherwise():
    assert hosts_of(load_settings({})) == PRESETS["production"]


def test_each_address_is_overridden_alone():
    hosts = hosts_of(load_settings({"KALSHI_REST_URL": "http://127.0.0.1:8080/trade-api/v2/"}))
    assert hosts == ("http://127.0.0.1:8080/trade-api/v2", PRESETS["production"].ws_url)
    hosts = hosts_of(load_settings({"KALSHI_WS_URL": "ws://127.0.0.1:8080/trade-api/ws/v2"}))
    assert hosts == (PRESETS["production"].rest_url, "ws://127.0.0.1:8080/trade-api/ws/v2")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("KALSHI_REST_URL", "external-api.kalshi.com"),
        ("KALSHI_REST_URL", "https://host/path?query"),
        ("KALSHI_WS_URL", "wss://external-api-ws.kalshi.com"),
        ("KALSHI_WS_URL", "https://host/trade-api/ws/v2"),
        ("KALSHI_ENVIRONMENT", "staging"),
        ("KALSHI_API_KEY_ID", "two\nlines"),
    ],
)
def test_a_value_that_cannot_be_meant_is_refused(variable, value):
    with pytest.raises(SettingsError, match=variable):
        load_settings({variable: value})
