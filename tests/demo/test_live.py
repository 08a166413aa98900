"""The demo in front of an exchange that is not its own."""

import os
import shlex
import signal
import subprocess
from datetime import UTC, datetime

from app.demo.processes import PRODUCTION, server_folder
from app.lake.storage import FolderStorage
from app.postgres.connection import connected
from app.postgres.databases import DatabaseKind
from app.postgres.embedded.server import EmbeddedServer
from app.simulator.check.check import SimCheck
from app.simulator.check.databases import ProductionRows
from app.simulator.truth import TruthReader
from tests.faults.gathering import let_pass
from tests.processes import running, wait_until
from tests.servers import temporary_folder
from tests.simulator.running import running_simulator

SECONDS = 5
DONE_SECONDS = 240


def test_one_gatherer_records_the_exchange_that_the_settings_name_over_few_sockets(tmp_path):
    now = ("--start", datetime.now(UTC).isoformat())
    with (
        temporary_folder() as folder,
        running_simulator(tmp_path, *now, "--markets", 100, "--rate", 100, "--tier", "unlimited") as simulator,
    ):
        lines = record(simulator, folder)
        assert simulator.stop() == 0
        with (
            EmbeddedServer(server_folder(folder, PRODUCTION)) as server,
            connected(server.dsn(DatabaseKind.PRODUCTION.database)) as connection,
        ):
            report = SimCheck(TruthReader(simulator.truth), ProductionRows(connection)).run()
        assert report.is_clean, report
        assert sum(table.found for table in report.tables) > 100
        keys = list(FolderStorage(server_folder(folder, "lake")).keys("processed"))
        assert {key.split("/")[1] for key in keys} >= {"orderbook_deltas", "orderbook_snapshots", "tickers", "trades"}
        candles = list(FolderStorage(server_folder(folder, "lake")).keys("aggregates/ohlcv"))
        assert len([key for key in candles if key.endswith(".parquet")]) >= 3
        assert lines[-2].strip() == f"The lake: {server_folder(folder, 'lake')}"
        next_line = shlex.split(lines[-1].strip().removeprefix("Next: "))
        looked = subprocess.run(next_line, cwd=folder, input="", capture_output=True, text=True)
        assert looked.returncode == 0, looked.stderr
        assert "yes_price" in looked.stdout


def record(simulator, folder):
    key = simulator.where["keys"][0]
    settings = {
        "KALSHI_REST_URL": simulator.where["rest"],
        "KALSHI_WS_URL": simulator.where["websocket"],
        "KALSHI_API_KEY_ID": key["key_id"],
        "KALSHI_API_PRIVATE_KEY_FILE": key["private_key_file"],
        "KALSHI_DATA_DIR": folder,
    }
    with running("-m", "app", "demo", "--live", **settings) as demo:
        wait_until(lambda: any("Status page" in line for line in demo.lines) or demo._is_over(), DONE_SECONDS)
        sockets = simulator.state()["connections"]
        assert 1 < len(sockets) <= 10, demo.lines
        let_pass(simulator, SECONDS)
        # What is under way to a socket that is closed is lost, and this one gatherer is alone.
        simulator.stop_the_clock()
        os.kill(demo.pid, signal.SIGINT)
        wait_until(demo._is_over, DONE_SECONDS, "the end")
        assert demo.exit_code() == 0, demo.lines
        return demo.lines
