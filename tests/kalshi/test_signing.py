import time

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import PrivateFormat

from app.errors import SettingsError
from app.kalshi.endpoints import signer_of
from app.kalshi.private_key import PrivateKey
from app.kalshi.signing import Signer
from app.settings.loading import load_settings
from tests.kalshi.keys import ed25519_key, elliptic_key, pem, rsa_key, verify

PATH = "/trade-api/v2/markets"


@pytest.mark.parametrize("key", [rsa_key, ed25519_key])
def test_what_is_signed_verifies_by_the_public_key(key):
    headers = Signer("id", PrivateKey(pem(key()))).headers("GET", PATH)
    verify(key(), headers, "GET", PATH)
    assert headers["KALSHI-ACCESS-KEY"] == "id"
    with pytest.raises(InvalidSignature):
        verify(key(), headers, "GET", PATH + "/other")


def test_the_older_pem_of_rsa_is_read_too():
    signer = Signer("id", PrivateKey(pem(rsa_key(), PrivateFormat.TraditionalOpenSSL)))
    verify(rsa_key(), signer.headers("GET", PATH), "GET", PATH)


def test_the_time_is_in_milliseconds():
    before_ms = time.time_ns() // 1_000_000
    signed_ms = int(Signer("id", PrivateKey(pem(ed25519_key()))).headers("GET", PATH)["KALSHI-ACCESS-TIMESTAMP"])
    assert before_ms <= signed_ms <= time.time_ns() // 1_000_000


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("hunter2", "not a private key"),
        (pem(ed25519_key()).replace("MC4C", "hunter2"), "not a private key"),
        (pem(elliptic_key()), "neither an RSA nor an Ed25519 key"),
        (pem(ed25519_key(), password=b"hunter2"), "protected by a password"),
    ],
)
def test_a_key_that_cannot_sign_is_refused_at_start_without_being_shown(text, problem):
    with pytest.raises(SettingsError, match=problem) as caught:
        load_settings({"KALSHI_API_PRIVATE_KEY": text})
    assert text not in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_the_key_comes_from_a_file(tmp_path):
    file = tmp_path / "key.pem"
    file.write_text(pem(rsa_key()))
    settings = load_settings({"KALSHI_API_KEY_ID": "id", "KALSHI_API_PRIVATE_KEY_FILE": str(file)})
    verify(rsa_key(), signer_of(settings).headers("GET", PATH), "GET", PATH)
    assert "PRIVATE" not in repr(settings)


@pytest.mark.parametrize("half", [{"KALSHI_API_KEY_ID": "id"}, {"KALSHI_API_PRIVATE_KEY": pem(ed25519_key())}])
def test_half_of_a_key_is_refused(half):
    with pytest.raises(SettingsError, match="set both"):
        signer_of(load_settings(half))


def test_without_a_key_nothing_is_signed():
    assert signer_of(load_settings({})) is None
