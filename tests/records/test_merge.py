"""Merging parts loses and doubles nothing, whenever it is cut off."""

import resource
import subprocess
import sys
import textwrap

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchkit.errors import RecordError, SchemaMismatch
from benchkit.records import atomic, merge
from benchkit.records.merge import merge_parts, part_paths, write_part


def indices(folder):
    return pq.read_table(folder.path / "requests.parquet", columns=["index"])["index"].to_pylist()


def test_parts_become_one_file_in_order(make_run, make_table):
    """All rows are there in the order of the parts' names, and parts and tape are gone."""
    run = make_run()
    write_part(run.parts / "b.parquet", make_table({"index": 3}))
    write_part(run.parts / "a.parquet", make_table({"index": 1}, {"index": 2, "chunk_ns": [5, 6]}))
    (run.tape / "w0.tape").write_bytes(b"x")
    result = merge_parts(run.path)
    assert (result.requests, result.parts, result.unreadable) == (3, 2, ())
    assert indices(run) == [1, 2, 3]
    assert not run.parts.exists()
    assert not run.tape.exists()


def test_merging_again_changes_nothing(make_run, make_table):
    """A merge that was done is done."""
    run = make_run()
    write_part(run.parts / "a.parquet", make_table({}))
    merge_parts(run.path)
    before = (run.path / "requests.parquet").read_bytes()
    assert merge_parts(run.path).requests == 1
    assert (run.path / "requests.parquet").read_bytes() == before


def test_no_parts_give_an_empty_table(make_run):
    """A run without a single request still has its table, with all columns."""
    run = make_run()
    assert merge_parts(run.path).requests == 0
    table = pq.read_table(run.path / "requests.parquet")
    assert table.num_rows == 0
    assert "chunk_ns" in table.column_names


@pytest.mark.parametrize("survivors", [("a", "b"), ("b",), ()])
def test_a_crash_while_parts_are_removed_doubles_nothing(make_run, make_table, survivors):
    """Parts that are in the merged file already are known by name and not merged again."""
    run = make_run()
    kept = {}
    for name, index in (("a", 1), ("b", 2)):
        write_part(run.parts / f"{name}.parquet", make_table({"index": index}))
        kept[name] = (run.parts / f"{name}.parquet").read_bytes()
    merge_parts(run.path)
    run.parts.mkdir()
    for name in survivors:
        (run.parts / f"{name}.parquet").write_bytes(kept[name])
    assert merge_parts(run.path).requests == 2
    assert indices(run) == [1, 2]
    assert not run.parts.exists()


def test_parts_that_come_later_are_added(make_run, make_table):
    """What a recovery transcribes after a merge joins what was merged before."""
    run = make_run()
    write_part(run.parts / "a.parquet", make_table({"index": 1}))
    merge_parts(run.path)
    run.parts.mkdir()
    write_part(run.parts / "b.parquet", make_table({"index": 2}))
    assert merge_parts(run.path).requests == 2
    assert indices(run) == [1, 2]


def test_unreadable_parts_stay_with_the_tape(make_run, make_table):
    """A damaged part is named and left, and the tape that could replace it too."""
    run = make_run()
    write_part(run.parts / "a.parquet", make_table({"index": 1}))
    (run.parts / "b.parquet").write_bytes(b"PAR1 and nothing more")
    (run.tape / "w0.tape").write_bytes(b"x")
    result = merge_parts(run.path)
    assert result.unreadable == ("b.parquet",)
    assert indices(run) == [1]
    assert [path.name for path in part_paths(run.path)] == ["b.parquet"]
    assert (run.tape / "w0.tape").exists()


def test_a_damaged_merged_file_is_not_overwritten(make_run, make_table):
    """What cannot be read may still be rescued by hand."""
    run = make_run()
    (run.path / "requests.parquet").write_bytes(b"junk")
    write_part(run.parts / "a.parquet", make_table({}))
    with pytest.raises(RecordError, match="damaged"):
        merge_parts(run.path)
    assert (run.path / "requests.parquet").read_bytes() == b"junk"


def test_row_groups_stay_bounded(make_run, make_table, monkeypatch):
    """Small parts are put together and large ones apart, so that reading needs little memory at a time."""
    monkeypatch.setattr(merge, "_GROUP_ROWS", 10)
    run = make_run()
    for part in range(7):
        write_part(run.parts / f"{part}.parquet", make_table(*[{"index": part}] * 4))
    merge_parts(run.path)
    metadata = pq.read_metadata(run.path / "requests.parquet")
    sizes = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
    assert sum(sizes) == 28
    assert max(sizes) <= 12
    assert len(sizes) <= 5


def test_other_columns_are_refused(make_run):
    """A part of another format is an error when it is written, with the columns that differ."""
    run = make_run()
    with pytest.raises(SchemaMismatch, match=r"missing index.*unknown colour"):
        write_part(run.parts / "a.parquet", pa.table({"colour": ["red"]}))
    assert part_paths(run.path) == []


def test_narrower_types_are_widened(make_run, make_table):
    """A column of nulls or of small integers is fine: it is cast to the schema's type."""
    run = make_run()
    table = make_table({"index": 5})
    at = table.column_names.index("index")
    table = table.set_column(at, "index", pa.array([5], pa.int16()))
    write_part(run.parts / "a.parquet", table)
    merge_parts(run.path)
    assert indices(run) == [5]


FULL_DISK = """
    import resource, sys
    from pathlib import Path
    from benchkit.errors import DiskFull
    from benchkit.records.merge import merge_parts
    folder = Path(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
    try:
        merge_parts(folder)
    except DiskFull as error:
        print("DiskFull", error)
"""


def test_a_full_disk_keeps_every_part(make_run, make_table):
    """When the merged file cannot be written, the parts stay whole, and a later merge finds everything."""
    run = make_run()
    for part in range(4):
        rows = [{"index": part, "prompt_hash": f"{part}{i:015x}", "end_ns": i * 7919} for i in range(1000)]
        write_part(run.parts / f"{part}.parquet", make_table(*rows))
    script = textwrap.dedent(FULL_DISK)
    done = subprocess.run(
        [sys.executable, "-c", script, str(run.path)], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.startswith("DiskFull")
    assert "benchkit recover" in done.stdout
    assert not (run.path / "requests.parquet").exists()
    assert not list(run.path.glob(".requests*"))
    assert len(part_paths(run.path)) == 4
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
    assert merge_parts(run.path).requests == 4000


def test_the_reserve_makes_room_for_the_merge(make_run, make_table, monkeypatch):
    """A first write that meets a full disk is tried again with the reserved space given back."""
    run = make_run()
    write_part(run.parts / "a.parquet", make_table({}))
    reserve = run.path / ".reserve"
    assert reserve.stat().st_size == atomic.RESERVE_BYTES
    write = merge._write

    def write_on_a_full_disk(*arguments):
        if reserve.exists():
            raise OSError(28, "No space left on device")
        write(*arguments)

    monkeypatch.setattr(merge, "_write", write_on_a_full_disk)
    assert merge_parts(run.path).requests == 1
