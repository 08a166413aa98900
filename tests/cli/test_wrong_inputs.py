"""Wrong inputs are answered with what is wrong and what to do: none is accepted in silence."""

import io
import logging
import sys

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from app.cli import options as bars
from app.errors import SettingsError
from app.postgres.databases import DatabaseKind
from app.runtime import logs
from app.settings.loading import load_settings
from app.simulator.faults import decode_plan
from tests.cli_settings import invoke
from tests.gatherers import put_market
from tests.processes import run
from tests.servers import new_database
from tests.settings.test_settings import problems_of
from workers.gatherer.process import check

NOBODY = "postgresql://localhost:9/none"
TIMES = ("--from", "2026-11-22T00:00Z", "--to", "2026-11-21T00:00Z")


def answered(settings, *arguments):
    """Exit code and all that is said, as main() says it."""
    done = invoke({name: str(value) for name, value in settings.items()}, *arguments)
    error = getattr(done.exception, "exit_code", done.exit_code)
    return error, f"{done.output}{done.exception or ''}"


@pytest.mark.parametrize(
    "command",
    [
        ("export",),
        ("verify",),
        ("coverage",),
        ("coverage", "KXTEST-1"),
        ("backfill",),
        ("lake", "rebuild", "--into", "/nowhere"),
    ],
    ids=" ".join,
)
def test_times_in_the_wrong_order_are_refused_before_anything_is_opened(command):
    code, said = answered({"KALSHI_PRODUCTION_DSN": NOBODY, "KALSHI_TS_DSN": NOBODY}, *command, *TIMES)
    assert (code, "not after --from" in said) == (2, True), said


@pytest.mark.parametrize(
    "time", ["0001-01-01T00:00:00+16:00", "1999-12-31", "2200-01-02", "9999-12-31T23:59:59-16:00"], ids=str
)
@pytest.mark.parametrize(
    "command",
    [
        *(
            ("export", "--from"),
            ("verify", "--to"),
            ("coverage", "--from"),
            ("coverage", "--to"),
            ("book", "A", "--at"),
        ),
        *(("backfill", *TIMES, "--from"), ("lake", "rebuild", "--into", "/nowhere", *TIMES, "--to")),
        *(("lake", "restore", *TIMES, "--from"), ("simulator", "--start")),
    ],
    ids=" ".join,
)
def test_a_time_that_no_database_or_file_holds_is_refused(command, time):
    code, said = answered({"KALSHI_PRODUCTION_DSN": NOBODY, "KALSHI_TS_DSN": NOBODY}, *command, time)
    assert (code, "is not between 2000 and 2200" in said) == (2, True), said


def test_a_time_of_any_zone_is_understood(production):
    times = ("--from", "2026-11-21T00:00:00+23:59", "--to", "2026-11-22T00:00:00-23:59")
    assert answered({"KALSHI_PRODUCTION_DSN": production.reveal()}, "coverage", *times)[0] == 0


def test_what_has_not_happened_yet_is_not_fetched():
    times = ("--from", "2199-01-01", "--to", "2199-01-02")
    code, said = answered({"KALSHI_TS_DSN": NOBODY}, "backfill", *times)
    assert (code, "--from: it is in the future" in said) == (2, True), said


@pytest.mark.parametrize("number", ["nan", "inf"])
@pytest.mark.parametrize(
    "command", [("demo", "--seconds"), ("rehearse", "--seconds"), ("simulator", "--speed")], ids=" ".join
)
def test_what_is_no_number_is_refused(command, number):
    assert answered({}, *command, number)[0] == 2


@pytest.mark.parametrize(
    "option",
    [
        *("--hidden-seconds", "--live-days", "--signature-tolerance", "--buffer-frames"),
        *("--connections-per-user", "--markets-per-session", "--commands-per-second"),
    ],
)
def test_a_simulator_has_no_negative_limits(option):
    assert answered({}, "simulator", option, "-1")[0] == 2


class TestMarkets:
    @pytest.mark.parametrize("ticker", ["", "K" * 201, "KX\n1", "KX\x1b[31m", "KX\udcff"], ids=ascii)
    @pytest.mark.parametrize(
        "command",
        [("coverage",), ("book", "--at", "2026-11-21"), ("backfill", *TIMES, "--ticker")],
        ids=lambda each: each[0],
    )
    def test_what_is_no_ticker_is_refused(self, command, ticker):
        code, said = answered({"KALSHI_PRODUCTION_DSN": NOBODY}, *command, ticker)
        assert (code, "is not a ticker" in said) == (2, True), said

    def test_a_mistyped_one_is_told_with_those_that_are_named_alike(self, production):
        put_market(production, "KXTEST-26NOV01-T1")
        code, said = answered({"KALSHI_PRODUCTION_DSN": production.reveal()}, "coverage", "KXTEST-26NOV01-TI")
        assert code == 1
        assert "There is no market KXTEST-26NOV01-TI." in said
        assert "did you mean KXTEST-26NOV01-T1?" in said

    def test_one_that_nothing_was_recorded_of_is_no_mistake(self, production):
        put_market(production, "KXTEST-26NOV01-T1")
        code, said = answered({"KALSHI_PRODUCTION_DSN": production.reveal()}, "coverage", "KXTEST-26NOV01-T1")
        assert (code, "Nothing was recorded in that time" in said) == (0, True)


class TestDatabases:
    """Tables of a gatherer and of production have the same names: a setting that names the wrong one is told."""

    @pytest.mark.parametrize(
        "command",
        [
            *(
                ("export",),
                ("verify",),
                ("coverage",),
                ("status",),
                ("maintain",),
                ("lake", "bind"),
                ("lake", "status"),
            ),
            *(("lake", "unbind"), ("lake", "status", "--raw"), ("lake", "bind", "--raw"), ("export", "--raw")),
            ("confirmations",),
        ],
        ids=" ".join,
    )
    def test_the_wrong_one_is_refused_and_nothing_of_it_reaches_the_lake(
        self, command, timeseries, production, tmp_path
    ):
        swapped = {"KALSHI_PRODUCTION_DSN": timeseries.reveal(), "KALSHI_TS_DSN": production.reveal()}
        code, said = answered({**swapped, "KALSHI_LAKE": tmp_path / "lake"}, *command)
        assert (code, "correct the settings: one database is named twice, or for the wrong purpose." in said) == (
            1,
            True,
        )
        assert not (tmp_path / "lake" / "processed").exists()

    def test_metadata_is_no_production(self, server, templates):
        metadata = new_database(server, templates[DatabaseKind.METADATA])
        code, said = answered({"KALSHI_PRODUCTION_DSN": metadata.reveal()}, "coverage")
        assert (code, "Fix:" in said) == (1, True), said


class TestFiles:
    @pytest.mark.parametrize("command", ["settings", "metrics", "rehearse"])
    @pytest.mark.parametrize("content", [b"", b"# another document\n", b"\xff\xfe"], ids=repr)
    def test_a_document_without_the_table_stays_as_it_is(self, command, content, tmp_path):
        file = tmp_path / "document.md"
        file.write_bytes(content)
        code, said = answered({}, command, "--write", str(file))
        assert (code, f"The table cannot be put into {file}." in said) == (1, True), said
        assert file.read_bytes() == content
        assert answered({}, command, "--write", str(tmp_path))[0] == 2

    def test_a_bundle_that_cannot_be_written_is_told_before_the_exchange_is_asked(self, tmp_path):
        (tmp_path / "file").touch()
        code, said = answered(
            {"KALSHI_DATA_DIR": tmp_path}, "rehearse", "--bundle", str(tmp_path / "file" / "b.tar.gz")
        )
        assert (code, "give another path with --bundle." in said) == (1, True), said

    @pytest.mark.parametrize("into", ["", "s3:/bucket/prefix", "s3://", "ftp://example/x"])
    def test_a_mistyped_bucket_is_no_folder(self, into, tmp_path):
        times = ("--from", "2026-11-21T00:00Z", "--to", "2026-11-21T01:00Z")
        code, said = answered({"KALSHI_LAKE": tmp_path}, "lake", "rebuild", *times, "--into", into)
        assert (code, "neither a folder nor s3://bucket/prefix" in said) == (2, True), said

    def test_a_lake_is_not_rebuilt_into_itself(self, tmp_path):
        times = ("--from", "2026-11-21T00:00Z", "--to", "2026-11-21T01:00Z")
        code, said = answered(
            {"KALSHI_LAKE": tmp_path}, "lake", "rebuild", *times, "--into", str(tmp_path / "x" / "..")
        )
        assert (code, "the lake of KALSHI_LAKE itself" in said) == (2, True), said

    @pytest.mark.parametrize("command", [("demo", "--seconds", "1"), ("simulator",)], ids=lambda each: each[0])
    def test_a_data_folder_that_cannot_be_made_is_told(self, command, tmp_path):
        (tmp_path / "file").touch()
        done = run("-m", "app", *command, KALSHI_DATA_DIR=tmp_path / "file" / "data")
        assert (done.returncode, "Fix:" in done.stderr, "Traceback" in done.stderr) == (1, True, False), done.stderr

    @pytest.mark.parametrize("option", ["--truth", "--certificate", "--key"])
    def test_a_file_that_is_not_what_the_simulator_needs_is_told(self, option, tmp_path):
        (tmp_path / "file").write_text("hello")
        value = f"a={tmp_path / 'file'}" if option == "--key" else tmp_path / "file"
        done = run("-m", "app", "simulator", option, value, KALSHI_DATA_DIR=tmp_path)
        assert (done.returncode, "Fix:" in done.stderr, "Traceback" in done.stderr) == (1, True, False), done.stderr


class TestNothing:
    def test_verifying_nothing_is_no_success(self, production, tmp_path):
        code, said = answered({"KALSHI_PRODUCTION_DSN": production.reveal(), "KALSHI_LAKE": tmp_path}, "verify")
        assert (code, "There was nothing to verify." in said) == (1, True), said

    def test_exporting_nothing_is_told(self, production, tmp_path):
        code, said = answered({"KALSHI_PRODUCTION_DSN": production.reveal(), "KALSHI_LAKE": tmp_path}, "export")
        assert (code, "There is nothing to export" in said) == (0, True), said

    def test_rebuilding_from_nothing_is_no_success(self, tmp_path):
        times = ("--from", "2026-11-21T00:00Z", "--to", "2026-11-21T01:00Z", "--into", tmp_path / "into")
        code, said = answered({"KALSHI_LAKE": tmp_path / "typo"}, "lake", "rebuild", *map(str, times))
        assert code == 1
        assert f"The lake at {tmp_path / 'typo'} has no rows of that time in raw/." in said

    def test_a_book_out_of_no_lake_names_the_lake_that_was_looked_at(self, tmp_path):
        code, said = answered({"KALSHI_LAKE": tmp_path / "typo"}, "book", "A", "--at", "2026-11-21")
        assert (code, f"The lake at {tmp_path / 'typo'} has no " in said) == (1, True), said

    def test_after_a_demo_the_demo_s_lake_is_named(self, tmp_path):
        (tmp_path / "demo" / "lake").mkdir(parents=True)
        code, said = answered({"KALSHI_DATA_DIR": tmp_path}, "book", "A", "--at", "2026-11-21")
        assert (code, f"set KALSHI_LAKE={tmp_path}/demo/lake, the demo's." in said) == (2, True), said


class TestNames:
    def test_a_demo_s_server_that_does_not_exist_is_not_made(self, tmp_path):
        (tmp_path / "demo" / "one" / "data").mkdir(parents=True)
        code, said = answered({"KALSHI_DATA_DIR": tmp_path}, "postgres", "--demo", "four")
        assert (code, "The demo has no server four." in said, "name one of them." in said) == (2, True, True), said
        assert [each.name for each in (tmp_path / "demo").iterdir()] == ["one"]

    def test_before_any_demo_it_says_how_to_make_one(self, tmp_path):
        code, said = answered({"KALSHI_DATA_DIR": tmp_path}, "postgres", "--demo", "production")
        assert (code, "run kalshi-data demo first" in said) == (2, True), said


class TestKeys:
    def test_a_path_instead_of_a_key_names_the_setting_that_takes_one(self):
        said = problems_of({"KALSHI_API_PRIVATE_KEY": "/etc/kalshi/key.pem"})
        assert "did you mean KALSHI_API_PRIVATE_KEY_FILE?\n" in said
        assert "BEGIN" not in said

    @pytest.mark.parametrize("variable", ["KALSHI_API_PRIVATE_KEY", "KALSHI_API_PRIVATE_KEY_FILE"])
    def test_what_is_no_key_is_told_without_an_example_that_looks_like_one(self, variable, tmp_path):
        file = tmp_path / "key"
        file.write_text("hello")
        said = problems_of({variable: str(file) if variable.endswith("_FILE") else "hello"})
        assert "not a private key in PEM" in said
        assert "BEGIN" not in said

    def test_a_public_key_is_told_to_be_one(self):
        public = Ed25519PrivateKey.generate().public_key()
        pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
        assert "a public key; the private key is needed" in problems_of({"KALSHI_API_PRIVATE_KEY": pem})


@pytest.mark.parametrize(
    ("variable", "value", "problem"),
    [
        ("KALSHI_ENVIRONMENT", "prod", "is 'prod': it is one of production, demo."),
        ("KALSHI_OPS_ADDRESS", "9090", "it does not have the form that it needs; a value such as 127.0.0.1:9090 fits."),
        ("KALSHI_LAKE", "s3:/b", "it does not have the form that it needs; a value such as s3://kalshi-lake/v1 fits."),
        ("KALSHI_WS_CONECTIONS", "1", "did you mean KALSHI_WS_CONNECTIONS?"),
    ],
)
def test_settings_are_corrected_in_words_for_people(variable, value, problem):
    lines = problems_of({variable: value}).splitlines()
    assert lines[1].endswith(problem)


def test_a_gatherer_without_anything_is_told_all_that_it_needs():
    with pytest.raises(SettingsError) as caught:
        check(load_settings({}))
    assert "KALSHI_TS_DSN and KALSHI_META_DSN are not set." in str(caught.value)
    assert "KALSHI_API_KEY_ID and KALSHI_API_PRIVATE_KEY are not set." in str(caught.value)


def test_another_schema_is_told_without_our_own_sql(empty_database):
    code, said = answered({"KALSHI_PRODUCTION_DSN": empty_database.reveal()}, "coverage")
    assert (code, "run kalshi-data migrate." in said) == (1, True)
    assert "LINE" not in said


def test_an_exchange_that_is_not_there_ends_a_backfill_soon(timeseries, monkeypatch):
    monkeypatch.setattr(sys.modules["app.cli.operate"], "FIRST_ANSWER_SECONDS", 0)
    settings = {"KALSHI_TS_DSN": timeseries.reveal(), "KALSHI_REST_URL": "http://127.0.0.1:9/x"}
    code, said = answered(settings, "backfill", *TIMES[2:], *("--from", "2026-11-20"))
    assert (code, "The exchange did not answer /exchange/status." in said) == (1, True), said


def test_a_plan_that_is_no_json_is_called_so():
    with pytest.raises(msgspec.DecodeError, match="JSON is malformed"):
        decode_plan(b"{at_seconds: 1}")


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_logs_and_a_bar_do_not_write_into_each_other(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    logs.configure("json", "info", terminal)
    try:
        with bars.progress([1, 2], "Working") as items:
            for item in items:
                logging.getLogger("test").info("one of many", extra={"item": item})
                logging.getLogger("test").warning("it went wrong")
        logging.getLogger("test").info("after")
    finally:
        logs.configure("text", "debug")
    said = terminal.getvalue()
    assert "one of many" not in said
    assert said.count(f'{bars.CLEAR_LINE}{{"level": "warning"') == 2
    assert said.splitlines()[-1].endswith('"message": "after"}')
