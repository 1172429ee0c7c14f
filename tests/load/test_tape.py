"""What is appended to a tape is on it, whole, or is known to be lost."""

import errno
import json
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchkit.load import tape as module
from benchkit.load.tape import Kind, TapeWriter, records, segment_path, segments


def read_back(folder, worker=0):
    """All records but the segments' own first ones."""
    content = (record for path in segments(folder, worker) for record in records(path.read_bytes()))
    return [record for record in content if record.kind != Kind.HELLO]


def test_records_come_back(tmp_path):
    """Kind, detail, key, both times and data."""
    tape = TapeWriter(tmp_path, 3, {"worker": 3})
    tape.append(Kind.SENT, 7, 123, b"data", detail=2, kernel=b"k" * 16)
    tape.append(Kind.END, 2**32 - 1, 2**62)
    tape.close()
    assert [tuple(record) for record in read_back(tmp_path, 3)] == [
        (Kind.SENT, 2, 7, 123, b"k" * 16, b"data"),
        (Kind.END, 0, 2**32 - 1, 2**62, bytes(16), b""),
    ]
    [path] = segments(tmp_path, 3)
    first = next(records(path.read_bytes()))
    assert (first.kind, json.loads(first.data)) == (Kind.HELLO, {"worker": 3})


def test_a_segment_is_followed_by_the_next(tmp_path, monkeypatch):
    """Segments are numbered in order, begin with a record of their own, and split no record."""
    monkeypatch.setattr(module, "SEGMENT_SIZE", 500)
    tape = TapeWriter(tmp_path, 0, {})
    for number in range(100):
        tape.append(Kind.WIRE, number, number, b"x" * 50)
        tape.flush()
    tape.close()
    found = segments(tmp_path, 0)
    assert len(found) > 5
    assert found == [segment_path(tmp_path, 0, number + 1) for number in range(len(found))]
    for path in found:
        content = path.read_bytes()
        assert next(records(content)).kind == Kind.HELLO
        assert sum(40 + len(record.data) for record in records(content)) == len(content)
    assert [record.key for record in read_back(tmp_path)] == list(range(100))


def test_workers_have_tapes_of_their_own(tmp_path):
    """Worker 1's segments are not worker 11's."""
    for worker in (1, 11):
        TapeWriter(tmp_path, worker, {}).close()
    assert segments(tmp_path, 1) == [segment_path(tmp_path, 1, 1)]


def test_long_data_goes_out_in_pieces(tmp_path):
    """Data longer than a read are several records of the same kind and time."""
    tape = TapeWriter(tmp_path, 0, {})
    data = bytes(range(256)) * 600
    tape.append(Kind.BODY, 1, 5, data)
    tape.close()
    found = read_back(tmp_path)
    assert len(found) == 3
    assert {(record.kind, record.key, record.loop_ns) for record in found} == {(Kind.BODY, 1, 5)}
    assert b"".join(record.data for record in found) == data


def test_a_full_buffer_is_written_out(tmp_path):
    """More than the buffer holds may be appended between two flushes."""
    tape = TapeWriter(tmp_path, 0, {})
    for number in range(200):
        tape.append(Kind.WIRE, number, 0, b"x" * 60_000)
    tape.close()
    assert [record.key for record in read_back(tmp_path)] == list(range(200))


@settings(deadline=None, max_examples=100)
@given(st.lists(st.binary(max_size=30), max_size=6), st.integers(0, 400))
def test_of_a_torn_tape_the_whole_records_are_read(tmp_path_factory, datas, cut):
    """A stretch that ends at any byte gives the records that are whole, and no part of the next."""
    folder = tmp_path_factory.mktemp("torn")
    tape = TapeWriter(folder, 0, {})
    for number, data in enumerate(datas):
        tape.append(Kind.WIRE, number, 0, data)
    tape.close()
    content = segment_path(folder, 0, 1).read_bytes()[:cut]
    ends, position = [], 40 + len(b"{}")
    for data in datas:
        position += 40 + len(data)
        ends.append(position)
    found = [record.data for record in records(content) if record.kind != Kind.HELLO]
    assert found == [data for data, end in zip(datas, ends, strict=True) if end <= cut]


class FullDisk:
    """A disk that takes only so many bytes until there is room again."""

    def __init__(self, monkeypatch, room):
        self.room = room
        self._write = os.write
        monkeypatch.setattr(module.os, "write", self.write)

    def write(self, fd, data):
        if self.room == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = self._write(fd, bytes(data[: self.room]))
        self.room -= written
        return written


@pytest.mark.parametrize("room", [0, 41, 100, 1_000])
def test_what_a_full_disk_refused_is_kept_until_there_is_room(tmp_path, monkeypatch, room):
    """Filled up at any byte, even within a record: once there is room the tape is whole."""
    tape = TapeWriter(tmp_path, 0, {})
    disk = FullDisk(monkeypatch, room)
    for number in range(30):
        tape.append(Kind.WIRE, number, 0, b"x" * 60)
        tape.flush()
    assert tape.failure.errno == errno.ENOSPC
    disk.room = 10**9
    tape.append(Kind.WIRE, 30, 0, b"x" * 60)
    tape.close()
    assert tape.failure is None
    assert tape.lost_bytes == 0
    assert [record.key for record in read_back(tmp_path)] == list(range(31))


def test_what_no_buffer_could_hold_is_counted_and_harms_nothing_else(tmp_path, monkeypatch):
    """A disk full for too long costs records, which are counted; those before and behind them are read."""
    tape = TapeWriter(tmp_path, 0, {})
    disk = FullDisk(monkeypatch, 500)
    for number in range(300):
        tape.append(Kind.WIRE, number, 0, b"x" * 60_000)
    disk.room = 10**9
    for number in range(300, 320):
        tape.append(Kind.WIRE, number, 0, b"y" * 60_000)
    tape.close()
    found = [record.key for record in read_back(tmp_path)]
    assert tape.lost_bytes > 4_000_000
    assert found == sorted(set(found))
    assert found[-20:] == list(range(300, 320))
    assert {record.data for record in read_back(tmp_path)} <= {b"x" * 60_000, b"y" * 60_000}
    assert len(segments(tmp_path, 0)) >= 2
