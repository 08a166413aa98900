"""A short recording that is as it should be, and those who judge it: the check against the truth, the comparison of
declared holes with true ones, both audits of books, and the verification of a lake."""

import json
import shutil
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from psycopg2.extras import execute_values
from pyarrow import parquet

from app.audit.audit import audit_new
from app.audit.quote_audit import FollowedBooks, audit_new_quotes
from app.audit.quotes import QuoteVerdict
from app.coverage.evidence import BOOKS, LIFECYCLE, TICKERS, TRADES
from app.coverage.hours import judge_next_hour
from app.demo.proof import declared_holes, true_holes_since
from app.demo.summary import undeclared
from app.lake.exporter import HourExporter
from app.lake.layout import PROCESSED
from app.lake.parquet import sha256_of
from app.lake.storage import FolderStorage
from app.lake.verifier import FileVerdict, Verifier
from app.postgres.connection import connected
from app.postgres.dsn import Dsn
from app.simulator.check.check import SimCheck
from app.simulator.check.lake import LakeRows
from app.simulator.check.matcher import Delivered
from app.simulator.market.changes import SimDelta
from app.simulator.truth import TruthReader
from kalshi_data.layout import hour_of, manifest_key
from tests.lake.exporting import export_all, ledger_of
from tests.servers import new_database
from tests.simulator.judging import Recorded
from tests.simulator.recording import START_US, Run

START = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=START_US)
BEFORE = START - timedelta(hours=1)
DELIVERED = START + timedelta(minutes=30)
NOW = START + timedelta(minutes=35)
PATIENCE = timedelta(minutes=10)
MARKETS = range(30)
SOCKETS = {TICKERS: 1, TRADES: 3, LIFECYCLE: 5, BOOKS: 7}
RUN = ("a", 1)
QUOTES_A_ROUND = 40
FEW_BOOKS = 20  # rebuilt out of files


class Original(NamedTuple):
    truth: Path
    production: Dsn
    lake: Path


def recorded_into(production, folder):
    """Ten seconds of which nobody heard two, with the books before, after and in the end; judged and exported."""
    run = Run(folder / "truth", markets=len(MARKETS), rate=150).record_books(MARKETS).advance(3)
    began, missed = run.exchange.now_us, len(run.seen)
    run.advance(2, to=())
    ended, heard_again = run.exchange.now_us, len(run.seen)
    run.record_books(MARKETS).advance(5).record_books(MARKETS)
    run.record(change for number, (_, change) in enumerate(run.seen) if not missed <= number < heard_again)
    for market in MARKETS:
        run.truth.snapshot("a", market, 0)
    with connected(production) as connection:
        run.write(connection)
        note_listening(connection, tickers_of(run), (moment(began), moment(ended)))
        connection.commit()
        judge_coverage(connection)
    export(production, FolderStorage(folder / "lake"))
    return Original(folder / "truth", production, folder / "lake")


def moment(at_us):
    return START + timedelta(microseconds=at_us - START_US)


def tickers_of(run):
    """Those of markets that open meanwhile too."""
    changing = {change.market for _, change in run.seen if isinstance(change, SimDelta)}
    return [run.catalog.ticker(market) for market in {*MARKETS, *changing}]


def note_listening(connection, tickers, outage):
    """The journal of one gatherer, which says what it did not hear."""
    subjects = [(channel, "") for channel in (TICKERS, TRADES, LIFECYCLE)] + [(BOOKS, ticker) for ticker in tickers]
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO gatherer_runs (gatherer, run_id, started_at, recorded_until, delivered_until) "
            "VALUES (%s, %s, %s, %s, %s)",
            (*RUN, BEFORE, DELIVERED, DELIVERED),
        )
        execute_values(
            cursor,
            "INSERT INTO gatherer_subscriptions (gatherer, run_id, started_at, conn, channel, ticker) VALUES %s",
            [(*RUN, BEFORE, SOCKETS[channel], channel, ticker) for channel, ticker in subjects],
        )
        execute_values(
            cursor,
            "INSERT INTO gatherer_gaps "
            "(gatherer, run_id, number, conn, started_at, ended_at, sid, markets, channel, cause) VALUES %s",
            [(*RUN, conn, conn, *outage, -1, 1, channel, "disconnected") for channel, conn in SOCKETS.items()],
        )
        cursor.execute(
            "INSERT INTO markets (ticker, event_ticker, title, status, market_type, open_time, updated_at, details) "
            "SELECT name, 'KX', '', 'active', 'binary', %(at)s, %(at)s, '{}' FROM unnest(%(names)s) AS name",
            {"at": BEFORE, "names": tickers},
        )


def judge_coverage(connection):
    while judge_next_hour(connection, NOW, PATIENCE, timedelta(0)).judged:
        continue


def export(production, storage):
    with ledger_of(production, storage) as ledger:
        verifier = Verifier(production, ledger, storage)
        for name, hour in export_all(HourExporter(production, ledger, storage), ledger):
            assert verifier.verify(PROCESSED[name], hour).verdict is FileVerdict.SAME


class Judged(Recorded):
    """Production, for a test to damage."""

    def noticed(self):
        """What the check against the truth names, by table."""
        return names_in(self.check())

    def execute(self, statement):
        with self.connection.cursor() as cursor:
            cursor.execute(statement)
            assert cursor.rowcount > 0

    def undeclared(self):
        """The channels of true holes that are not declared."""
        reader = TruthReader(self.truth)
        holes = true_holes_since(reader, Delivered(reader), START_US)
        assert {hole.subject.channel for hole in holes} == SOCKETS.keys()
        return {hole.subject.channel for hole in undeclared(holes, declared_holes(self.connection, START_US))}

    def found_by_snapshots(self):
        """The markets whose books are wrong by the audit."""
        self.connection.commit()
        done = audit_new(self.connection, NOW, PATIENCE)
        assert sum(done.verdicts.values()) == 2 * len(MARKETS)
        return {pair.ticker for pair in done.findings}

    def found_by_quotes(self):
        """The markets whose books are wrong by the audit by quotes, in rounds as it takes them."""
        self.connection.commit()
        books, verdicts, wrong, has_more = FollowedBooks(), Counter(), set(), True
        while has_more:
            done = audit_new_quotes(self.connection, books, NOW, PATIENCE, most=QUOTES_A_ROUND)
            verdicts.update(done.verdicts)
            wrong |= {contradiction.asked.ticker for contradiction in done.findings}
            has_more = done.has_more
        assert verdicts[QuoteVerdict.EQUAL] > 200
        return wrong


KINDS = ("lost", "duplicated", "unexpected", "altered")


def names_in(report):
    assert report.is_proof
    judged = [*((findings.table, findings) for findings in report.tables), ("books", report.books)]
    return {(name, kind) for name, findings in judged for kind in KINDS if getattr(findings, kind, 0)}


class JudgedLake:
    """A lake, for a test to damage, and the production that it was exported from."""

    def __init__(self, original, folder, server):
        shutil.copytree(original.lake, folder)
        self.truth = original.truth
        self.production = new_database(server, original.production)
        self.storage = FolderStorage(folder)

    def object(self, table):
        (path,) = (self.storage.folder / "processed" / table).rglob("*.parquet")
        return path

    def manifest(self, table):
        return self.storage.folder / manifest_key(str(self.object(table).relative_to(self.storage.folder)))

    def rewrite(self, table, change):
        """The object alone."""
        path = self.object(table)
        parquet.write_table(change(parquet.read_table(path, partitioning=None)), path)

    def rewrite_with_manifest(self, table, change):
        """As if it had been exported so."""
        self.rewrite(table, change)
        path = self.object(table)
        said = json.loads(self.manifest(table).read_bytes())
        rows = parquet.read_metadata(path).num_rows
        said |= {"rows": rows, "size_bytes": path.stat().st_size, "sha256": sha256_of(path)}
        self.manifest(table).write_bytes(json.dumps(said).encode())

    def execute(self, statement):
        """In production."""
        with connected(self.production) as connection, connection, connection.cursor() as cursor:
            cursor.execute(statement)
            assert cursor.rowcount > 0

    def noticed(self):
        rows = LakeRows(self.storage.folder)
        return names_in(SimCheck(TruthReader(self.truth), rows, books=FEW_BOOKS).run())

    def differences(self):
        """What the verification says of each table that is not as it should be."""
        said = {}
        with ledger_of(self.production, self.storage) as ledger:
            verifier = Verifier(self.production, ledger, self.storage)
            for name, dataset in PROCESSED.items():
                finding = verifier.verify(dataset, hour_of(START))
                if not finding.verdict.is_safe:
                    said[name] = finding.difference or finding.verdict.value
        return said
