"""The file for a bug report has the report and samples, and no secrets."""

import stat
import tarfile

import msgspec
import pytest

from app.errors import OperatorError
from app.rehearsal.assumptions import fails, holds
from app.rehearsal.report import RehearsalReport, complete, without_secrets, write_bundle
from app.rehearsal.rest_probe import Probed
from app.settings.gatherer import EXAMPLE_KEY
from app.settings.loading import load_settings
from tests.normalize.frames import snapshot, trade
from tests.rehearsal.records import recorded

KEY_ID = "a952bcbe-ec3b-4b5b-b8f9-11dae589608c"
PASSWORD_DSN = "postgresql://kalshi:correct-horse@db.example/kalshi_ts"
SIGNATURE = "q" * 340 + "=="


@pytest.fixture
def settings():
    return load_settings(
        {"KALSHI_API_KEY_ID": KEY_ID, "KALSHI_API_PRIVATE_KEY": EXAMPLE_KEY, "KALSHI_TS_DSN": PASSWORD_DSN}
    )


def report(error, verdicts=()):
    probed = [Probed("/account/limits", 0, error=error), Probed("/markets", 1, samples=(b'{"ticker":"M-1"}',))]
    record = recorded(snapshot(), trade(), b"no frame \xff")
    return RehearsalReport(
        "0", "now", "https://rest", "wss://ws", {"tier": "basic"}, ["M-1"], complete(verdicts), probed, [record]
    )


def contents(path):
    with tarfile.open(path) as bundle:
        return {member.name: bundle.extractfile(member).read() for member in bundle}


def test_an_exchange_that_repeats_our_headers_does_not_get_them_into_the_bundle(settings, tmp_path):
    echoed = f"refused {KEY_ID} {SIGNATURE} {PASSWORD_DSN} {EXAMPLE_KEY}"
    write_bundle(tmp_path / "bundle.tar.gz", report(echoed, [fails("key_signs", echoed)]), settings)
    found = contents(tmp_path / "bundle.tar.gz")
    everything = b"".join(found.values())
    key_line = EXAMPLE_KEY.splitlines()[1]
    assert [secret for secret in (KEY_ID, SIGNATURE, "correct-horse", key_line) if secret.encode() in everything] == []
    assert b"refused *** *** *** ***" in found["rehearsal/report.json"]


def test_it_has_the_report_for_people_and_for_programs_and_samples_of_what_came(settings, tmp_path):
    write_bundle(tmp_path / "new" / "bundle.tar.gz", report(None, [holds("key_signs", "tier basic")]), settings)
    found = contents(tmp_path / "new" / "bundle.tar.gz")
    assert b"yes        key_signs" in found["rehearsal/report.txt"]
    assert msgspec.json.decode(found["rehearsal/report.json"])["messages"]["trade"] == 1
    assert b'{\\"ticker\\":\\"M-1\\"}' in found["rehearsal/rest.jsonl"]
    frames = [msgspec.json.decode(line) for line in found["rehearsal/frames.jsonl"].splitlines()]
    assert {each["type"] for each in frames if "type" in each} == {"orderbook_snapshot", "trade", "unfit frame"}


def test_only_its_owner_may_read_it(settings, tmp_path):
    write_bundle(tmp_path / "bundle.tar.gz", report(None), settings)
    assert stat.S_IMODE((tmp_path / "bundle.tar.gz").stat().st_mode) == 0o600


def test_a_place_that_cannot_be_written_is_told_with_a_fix(settings, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OperatorError, match=r"(?s)cannot be written.*--bundle"):
        write_bundle(tmp_path / "file" / "bundle.tar.gz", report(None), settings)


def test_tickers_and_prices_stay_as_they_are(settings):
    assert without_secrets(trade(), settings) == trade()
