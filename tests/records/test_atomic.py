"""A file is whole or it is not there."""

import errno

import pytest

from benchkit.records.atomic import Reserve, atomic_path, atomic_write, is_disk_full


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_content_replaces_content(tmp_path):
    """Text and bytes are written, over what was there, and nothing else stays behind."""
    target = tmp_path / "a.json"
    atomic_write(target, "äöü")
    atomic_write(target, b"second")
    assert target.read_bytes() == b"second"
    assert names(tmp_path) == ["a.json"]


def test_a_failed_write_leaves_the_old_file(tmp_path):
    """An error in the middle changes nothing and leaves no half file."""
    target = tmp_path / "a.json"
    atomic_write(target, "old")

    def write_half():
        with atomic_path(target) as temporary:
            temporary.write_text("half")
            raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        write_half()
    assert target.read_text() == "old"
    assert names(tmp_path) == ["a.json"]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(errno.ENOSPC, "x"), True),
        (OSError(errno.EDQUOT, "x"), True),
        (OSError(errno.EFBIG, "x"), True),
        (OSError(errno.EACCES, "x"), False),
        (ValueError("x"), False),
    ],
)
def test_full_disks_are_told_from_other_errors(error, expected):
    """Disk, quota and file-size limit are all the same to a run: no more can be written."""
    assert is_disk_full(error) is expected


def test_reserve_occupies_space_until_released(tmp_path):
    """The space is really taken, given back once, and not twice."""
    reserve = Reserve(tmp_path)
    reserve.take(1 << 20)
    assert reserve.path.stat().st_blocks * 512 >= 1 << 20
    assert reserve.release()
    assert not reserve.release()
    assert names(tmp_path) == []


def test_reserve_is_spent_only_on_a_full_disk(tmp_path):
    """Other errors pass at once and leave the reserve; a full disk without a reserve passes too."""
    reserve = Reserve(tmp_path)
    reserve.take(4096)
    calls = []

    def fail(code):
        calls.append(code)
        raise OSError(code, "x")

    with pytest.raises(OSError, match="x"):
        reserve.spend_if_full(lambda: fail(errno.EACCES))
    assert reserve.path.exists()
    with pytest.raises(OSError, match="x"):
        reserve.spend_if_full(lambda: fail(errno.ENOSPC))
    assert not reserve.path.exists()
    with pytest.raises(OSError, match="x"):
        reserve.spend_if_full(lambda: fail(errno.ENOSPC))
    assert calls == [errno.EACCES, errno.ENOSPC, errno.ENOSPC, errno.ENOSPC]
