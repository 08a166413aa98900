"""Files of spooled rows that were cut, or in which a byte is not what was written."""

import functools

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.runtime.clock import now_us
from app.storage.spool.segments import MARK, Layout, header, record, seed
from app.storage.spool.spool import SLACK_US, Spool
from app.storage.tables import ORDERBOOK_DELTAS, QUARANTINE
from tests.storage.rows import NOON_US, delta
from tests.storage.spool.any_rows import rows_of

SECOND_US = 1_000_000

EXAMPLES = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
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


def batches_in(folder, told=None):
    spool = open_spool(folder, on_loss=lambda *loss: None if told is None else told.append(loss))
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
    content = file.read_bytes()[:cut]
    file.write_bytes(content)
    told = []
    assert batches_in(folder, told) == batches[: sum(end <= cut for end in ends)]
    is_whole = cut in (len(header(LAYOUT)), *ends)
    assert len(told) == (not is_whole)
    # What is left of a record may have been durable: it is kept for a person.
    assert (
        [kept.read_bytes() for kept in folder.iterdir()] == [] if is_whole or cut < len(header(LAYOUT)) else [content]
    )


@EXAMPLES
@given(batches=BATCHES, data=st.data())
def test_a_changed_byte_costs_its_record_alone_and_says_so(tmp_path_factory, batches, data):
    folder = tmp_path_factory.mktemp("spool")
    file, ends = written(folder, batches)
    content = bytearray(file.read_bytes())
    position = data.draw(st.integers(0, ends[-1] - 1))
    content[position] ^= data.draw(st.integers(1, 255))
    file.write_bytes(content)
    told = []
    found = batches_in(folder, told)
    hit = sum(end <= position for end in ends)
    start = [len(header(LAYOUT)), *ends][hit]
    # The crc proves the rows, whatever became of their mark and length.
    is_proven = position < start or position - start < len(MARK) + 4
    assert found == (batches if is_proven else batches[:hit] + batches[hit + 1 :])
    assert len(told) == (not is_proven)
    assert [kept.suffix for kept in folder.iterdir()] == [".damaged"]


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


def test_rows_that_are_damaged_together_with_their_length_cost_none_behind_them(tmp_path):
    file, _ = written(tmp_path, [[(NOON_US, None, reason, b"x" * 20)] for reason in "abcd"])
    content = bytearray(file.read_bytes())
    length = len(header(LAYOUT)) + len(MARK) + 3
    content[length] += 50
    content[length + 5] ^= 1
    file.write_bytes(content)
    assert [batch[0][2] for batch in batches_in(tmp_path)] == ["b", "c", "d"]


def test_of_two_damaged_files_both_are_kept_also_over_a_restart(tmp_path):
    for reason in "ab":
        file, _ = written(tmp_path, [[(NOON_US, None, reason, b"")]])
        file.write_bytes(file.read_bytes()[:-1])
        assert batches_in(tmp_path) == []
    assert [kept.suffix for kept in tmp_path.iterdir()] == [".damaged"] * 2


# Written by an earlier release: a header and two records of the file with number 7.
EARLIER_FILE = """
    4b4453504f4f4c31 00000036 ebc0a737
    92aa71756172616e74696e6594ae71756172616e74696e65645f6174aa7461626c655f6e616d65a6726561736f6ea77061796c6f6164
    f5524543 0000001a 0da0ef64 9194cf00065f35c4cdf000a6747261646573a3626164c4020078
    f5524543 00000014 d7d8e848 9194cf00065f35c4cdf001c0a5776f727365c400
"""


def test_rows_that_an_earlier_release_has_spooled_are_read(tmp_path):
    (tmp_path / "000000000007.spool").write_bytes(bytes.fromhex(EARLIER_FILE))
    told = []
    assert batches_in(tmp_path, told) == [[(NOON_US, "trades", "bad", b"\0x")], [(NOON_US + 1, None, "worse", b"")]]
    assert told == []
    assert list(tmp_path.iterdir()) == []


def test_a_record_of_which_a_part_is_left_is_kept_since_it_may_have_been_durable(tmp_path, caplog):
    file, _ = written(tmp_path, [[(NOON_US, None, "a", b"")]])
    content = file.read_bytes() + MARK
    file.write_bytes(content)
    told = []
    assert len(batches_in(tmp_path, told)) == 1
    assert len(told) == 1
    assert [kept.read_bytes() for kept in tmp_path.iterdir()] == [content]
    assert {record.levelname for record in caplog.records} == {"ERROR"}


def test_a_file_that_never_came_to_be_is_cleaned_away(tmp_path):
    (tmp_path / "000000000007.spool").write_bytes(header(LAYOUT)[:10])
    assert batches_in(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("bit", range(32))
def test_the_last_rows_outlive_any_flipped_bit_of_their_length(tmp_path, bit):
    folder = tmp_path / str(bit)
    file, _ = written(folder, [[(NOON_US, None, "a", b"")], [(NOON_US, None, "b", b"durable")]])
    content = bytearray(file.read_bytes())
    head = content.rindex(MARK)
    content[head + len(MARK) + bit // 8] ^= 1 << bit % 8
    file.write_bytes(content)
    told = []
    assert [batch[0][2] for batch in batches_in(folder, told)] == ["a", "b"]
    assert told == []


class Deltas:
    """A spool of changes in several files, each received a minute after the one before."""

    def __init__(self, folder):
        self.folder = folder
        self.started_us = now_us() - 3_600 * SECOND_US
        self.told = []
        spool = self.open(segment_bytes=270)
        for minute in range(8):
            spool.append([self.row(minute)])
        spool.close()
        self.files = sorted(folder.glob("*.spool"))
        assert len(self.files) > 2

    def open(self, **options):
        return Spool(self.folder, ORDERBOOK_DELTAS, lambda _: None, on_loss=self._tell, **options)

    def row(self, minute):
        return delta(self.received_us(minute) - 20_000, clock=minute)

    def received_us(self, minute):
        return self.started_us + minute * 60 * SECOND_US

    def damage(self, *minutes):
        for file in self.files:
            content = bytearray(file.read_bytes())
            for minute in minutes:
                packed = self._packed_in(content, minute)
                if packed >= 0:
                    content[packed] ^= 1
            file.write_bytes(content)

    def _packed_in(self, content, minute):
        return content.find(self.received_us(minute).to_bytes(8, "big"))

    def _tell(self, since_us, until_us):
        self.told.append((since_us, until_us))

    def clocks(self):
        spool = self.open()
        found = []
        while batch := spool.first(1):
            found += [row[2] for row in batch]
            spool.remove_first()
        spool.close()
        return found


@pytest.fixture
def deltas(tmp_path):
    return Deltas(tmp_path / "spool")


@pytest.mark.parametrize("lost", [{1}, {3}, {2, 3}, {1, 2, 3, 4, 5, 6}], ids=str)
def test_what_is_lost_was_received_after_the_row_before_and_before_the_row_behind(deltas, lost):
    deltas.damage(*lost)
    assert deltas.clocks() == [minute for minute in range(8) if minute not in lost]
    for minute in lost:
        moment_us = deltas.received_us(minute)
        assert any(since_us < moment_us < until_us for since_us, until_us in deltas.told)
    first_us = min(since_us for since_us, _ in deltas.told)
    last_us = max(until_us for _, until_us in deltas.told)
    assert first_us == deltas.received_us(min(lost) - 1) - SLACK_US
    assert last_us == deltas.received_us(max(lost) + 1) + SLACK_US


def test_of_the_first_rows_only_their_end_is_known(deltas):
    deltas.damage(0)
    assert deltas.clocks() == list(range(1, 8))
    assert deltas.told == [(None, deltas.received_us(1) + SLACK_US)]


def test_the_last_rows_of_an_earlier_process_were_received_before_this_one_began(deltas):
    deltas.damage(7)
    before_us = now_us()
    spool = deltas.open()
    opened_us = now_us()
    spool.append([deltas.row(100)])
    while spool.first(1):
        spool.remove_first()
    spool.close()
    ((since_us, until_us),) = deltas.told
    assert since_us == deltas.received_us(6) - SLACK_US
    assert before_us <= until_us <= opened_us


def test_a_loss_is_told_before_the_rows_behind_it_and_once_however_often_they_are_read(deltas):
    deltas.damage(2)
    spool = deltas.open()
    while not deltas.told:
        behind = spool.first(1)
        if not deltas.told:
            spool.remove_first()
    assert [row[2] for row in behind] == [3]
    assert [row[2] for row in spool.first(1)] == [3]
    assert len(deltas.told) == 1
    spool.close()


def test_rows_that_are_lost_are_told_before_their_file_is_moved_away(deltas):
    deltas.damage(7)
    files = []
    spool = Spool(
        deltas.folder, ORDERBOOK_DELTAS, lambda _: None, on_loss=lambda *_: files.append(list(deltas.folder.iterdir()))
    )
    while spool.first(1):
        spool.remove_first()
    spool.close()
    assert [file.suffix for file in files[0]] == [".spool"]


def test_rows_damaged_while_they_are_still_added_to_cost_themselves_alone(deltas):
    spool = deltas.open(segment_bytes=10_000)
    while spool.first(1):
        spool.remove_first()
    for minute in (20, 21, 22):
        spool.append([deltas.row(minute)])
    deltas.files = sorted(deltas.folder.glob("*.spool"))
    deltas.damage(22)
    assert [row[2] for row in spool.first(2)] == [20, 21]
    spool.remove_first()
    spool.append([deltas.row(23)])
    found = spool.first(10)
    spool.remove_first()
    spool.close()
    assert [row[2] for row in found] == [23]
    assert deltas.told == [(deltas.received_us(21) - SLACK_US, deltas.received_us(23) + SLACK_US)]


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
