"""Real servers for tests and benchmarks."""

import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.postgres.server import EmbeddedServer


@contextmanager
def temporary_folder(prefix: str = "kalshi-test-") -> Iterator[Path]:
    """A folder that the server's unprivileged account can enter, which pytest's own are not."""
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@contextmanager
def temporary_server(**options: str) -> Iterator[EmbeddedServer]:
    with temporary_folder() as folder, EmbeddedServer(folder, options=options) as server:
        yield server


def new_database(server: EmbeddedServer):
    return server.ensure_database(f"test_{uuid.uuid4().hex}")
