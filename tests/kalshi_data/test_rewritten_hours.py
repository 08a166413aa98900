"""A reader in the middle of a rewrite: he reads all of the old hour or all of the new one. Of a folder that is rewritten all
the time, and of a bucket over HTTP at every request of his that a rewrite can precede."""

import threading
from functools import partial
from itertools import count

import pyarrow as pa
import pytest
from pyarrow import parquet

import kalshi_data as kd
from kalshi_data.schema import encodings, schema_of
from tests.kalshi_data.lakes import TICKER, trade
from tests.lake import faulty_s3

ROWS = 6_000
KEY = "processed/trades/date=2026-11-21/hour=12/part-0.parquet"
READS = 60
PAUSES_SECONDS = (0.05, 0.002, 0.2, 0.01)
LONGER, MORE_ROWS = 0, 700


def version_of(number, rows=ROWS):
    """An hour of which each row says which version it is of; two versions of as many rows are of the same size."""
    made = [trade(second / 10, size_e2=100 + number, trade_id=f"{second:05}-{number}") for second in range(rows)]
    sink = pa.BufferOutputStream()
    schema = schema_of("trades")
    parquet.write_table(pa.Table.from_pylist(made, schema), sink, row_group_size=500, **encodings(schema))
    return sink.getvalue().to_pybytes()


@pytest.fixture(scope="module")
def versions():
    found = {}
    for number in range(1, 10):
        content = version_of(number)
        if len(content) in found:
            first, equal = found[len(content)], number
            break
        found[len(content)] = number
    longer = version_of(LONGER, ROWS + MORE_ROWS)
    return {first: version_of(first), equal: version_of(equal), LONGER: longer}


def version_read(lake):
    """Which version is read. None: an error that says what to do."""
    try:
        rows = lake.trades(TICKER).to_arrow(integers=True)
    except kd.LakeError as error:
        return None if "read again" in str(error) else error
    sizes, names = set(rows["size_e2"].to_pylist()), {name[6:] for name in rows["trade_id"].to_pylist()}
    assert len(sizes) == len(names) == 1, "rows of two versions"
    [number] = names
    assert sizes == {100 + int(number)}
    assert rows.num_rows == ROWS + MORE_ROWS * (int(number) == LONGER)
    return int(number)


def test_in_a_folder_every_read_is_of_one_version(tmp_path, versions):
    path = tmp_path / KEY
    path.parent.mkdir(parents=True)
    contents = list(versions.values())
    path.write_bytes(contents[0])
    is_over = threading.Event()

    def rewrite():
        for number in count():
            if is_over.wait(PAUSES_SECONDS[number % len(PAUSES_SECONDS)]):
                return
            part = path.with_suffix(".part")
            part.write_bytes(contents[number % 3])
            part.replace(path)

    writer = threading.Thread(target=rewrite)
    writer.start()
    try:
        lake = kd.open(tmp_path)
        read = [version_read(lake) for _ in range(READS)]
    finally:
        is_over.set()
        writer.join()
    assert len(set(read) - {None}) > 1, "nothing was rewritten meanwhile"


@pytest.fixture(scope="module")
def server():
    with faulty_s3.faulty_s3() as server, pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "test")
        yield server


class RewriteBefore:
    """Replaces the object right before the reader's request of this number is answered."""

    def __init__(self, put, request):
        self._put = put
        self._left = request

    def __call__(self, request):
        if request.path.endswith(".parquet") and request.method in {"GET", "HEAD"}:
            self._left -= 1
            if self._left == 0:
                self._put()

    @property
    def is_done(self):
        return self._left <= 0


@pytest.mark.parametrize("position", [1, 2], ids=["of the same size", "with late rows"])
@pytest.mark.parametrize("has_read_before", [False, True])
def test_in_a_bucket_every_read_is_of_one_version(server, versions, position, has_read_before):
    client = faulty_s3.client(server.endpoint)
    bucket = f"rewritten-{position}-{has_read_before}".lower()
    numbers = list(versions)
    before, after = numbers[0], numbers[position]
    client.create_bucket(Bucket=bucket)

    def put(number):
        client.put_object(Bucket=bucket, Key=f"lake/{KEY}", Body=versions[number])

    found = []
    for request in count(1):
        put(before)
        lake = kd.open(f"s3://{bucket}/lake", endpoint=server.endpoint)
        if has_read_before:
            assert version_read(lake) == before
        fault = RewriteBefore(partial(put, after), request)
        server.faults.append(fault)
        try:
            found.append(version_read(lake))
        finally:
            server.faults.clear()
        if not fault.is_done:
            break
        assert version_read(lake) == after
    assert None not in found
    assert {before, after} == set(found)
    assert found[-1] == before
