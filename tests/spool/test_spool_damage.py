"""Files of spooled rows that were cut, or in which a byte is not what was written."""

import functools

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.spool.segment_format import MARK, Layout, header, record, seed
from app.spool.spool import Spool
from app.store.journal_tables import QUARANTINE
from tests.spool.any_rows import rows_of
from tests.store.rows import NOON_US

EXAMPLES = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
LAYOUT = Layout(QUARANTINE.name, QUARANTINE.column_names)
BATCHES = st.lists(st.lists(rows_of(QUARANTINE), min_size=1, max_size=3), min_size=1, max_size=5)

open_spool = functools.partial(Spool, table=QUARANTINE, check_room=lambda _added_bytes: None)


def written(folder, batches):
    """The file, and where each record ends in it."""
    spool = open_spool(folder)
    ends = []
    for batch in batches:
        spool.append(batch)
        ends.append(spool.size_bytes)
    spool.close()
    (file,) = folder.glob("*.spool")
    return file, ends


def batches_in(folder):
    spool = open_spool(folder)
    found = []
    while batch := spool.first(1):
        found.append(batch)
        spool.remove_first()
    assert spool.is_empty
    spool.close()
    return found


@EXAMPLES
@given(batches=BATCHES, data=st.data())
def test_a_cut_file_gives_the_records_before_the_cut(tmp_path_factory, batches, data):
    folder = tmp_path_factory.mktemp("spool")
    file, ends = written(folder, batches)
    cut = data.draw(st.integers(0, ends[-1]))
    file.write_bytes(file.read_bytes()[:cut])
    assert batches_in(folder) == batches[: sum(end <= cut for end in ends)]
    assert list(folder.iterdir()) == []


@EXAMPLES
@given(batches=BATCHES, data=st.data())
def test_a_changed_byte_costs_its_record_alone(tmp_path_factory, batches, data):
    folder = tmp_path_factory.mktemp("spool")
    file, ends = written(folder, batches)
    content = bytearray(file.read_bytes())
    position = data.draw(st.integers(0, ends[-1] - 1))
    content[position] ^= data.draw(st.integers(1, 255))
    file.write_bytes(content)
    found = batches_in(folder)
    if position < len(header(LAYOUT)):
        assert found == batches
    else:
        hit = sum(end <= position for end in ends)
        assert found == batches[:hit] + batches[hit + 1 :]


@EXAMPLES
@given(batches=BATCHES, data=st.data())
def test_whatever_happens_to_a_file_no_wrong_row_comes_out_of_it(tmp_path_factory, batches, data):
    folder = tmp_path_factory.mktemp("spool")
    file, ends = written(folder, batches)
    content = file.read_bytes()
    first, last = sorted(data.draw(st.tuples(*[st.integers(0, ends[-1])] * 2)))
    file.write_bytes(content[:first] + data.draw(st.binary(max_size=50)) + content[last:])
    found = batches_in(folder)
    before = sum(end <= first for end in ends)
    assert found[:before] == batches[:before]
    remaining = iter(batches)
    assert all(batch in remaining for batch in found)


def test_a_damaged_file_is_kept_and_said_loudly(tmp_path, caplog):
    file, ends = written(tmp_path, [[(NOON_US, None, reason, b"")] for reason in "abc"])
    content = bytearray(file.read_bytes())
    content[ends[0] + 20] ^= 1
    file.write_bytes(content)
    assert [batch[0][2] for batch in batches_in(tmp_path)] == ["a", "c"]
    (kept,) = tmp_path.iterdir()
    assert kept.suffix == ".damaged"
    assert kept.read_bytes() == content
    assert [record.levelname for record in caplog.records] == ["ERROR", "ERROR"]


def test_an_unfinished_record_is_cut_off_and_said_quietly(tmp_path, caplog):
    file, _ = written(tmp_path, [[(NOON_US, None, "a", b"")]])
    file.write_bytes(file.read_bytes() + MARK)
    assert len(batches_in(tmp_path)) == 1
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_a_new_file_never_takes_the_name_of_a_damaged_one(tmp_path):
    file, _ = written(tmp_path, [[(NOON_US, None, "a", b"")]])
    file.rename(file.with_suffix(".damaged"))
    again, _ = written(tmp_path, [[(NOON_US, None, "b", b"")]])
    assert again.stem > file.stem


def test_what_looks_like_a_record_within_a_row_is_none(tmp_path):
    """Not even when the record around it is damaged: it would have to know its file."""
    forged = record(b"\x91\x94\x01\xc0\xa1x\xc4\x01y", seed(2, LAYOUT))
    file, ends = written(tmp_path, [[(NOON_US, None, "frame", forged)]])
    content = bytearray(file.read_bytes())
    content[ends[0] - len(forged) - 5] ^= 1
    file.write_bytes(content)
    assert batches_in(tmp_path) == []
