"""A bundle's file: the same bytes for the same content, and nothing that leaves its folder."""

import stat
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchkit.errors import RecordError
from benchkit.records import bundle

FILES = {"b/summary.json": b"{}", "README.txt": b"read me", "b/requests.parquet": b"PAR1" * 100}
UNSAFE = [
    *("../out", "/out", "a/../../out", "a//b", "", "a/", "..", "a/..", "./a"),
    *("a\\\\b", "C:out", "a/b/c/d", "name.", "name ", "new\nline", "a|b"),
]


def _zip(path, *entries):
    with zipfile.ZipFile(path, "w") as file:
        for entry in entries:
            file.writestr(entry, b"content")
    return path


def test_what_is_packed_comes_out_as_it_was(tmp_path):
    """Files from memory and from the disk come back byte for byte, and their checksums hold."""
    (tmp_path / "source").write_bytes(b"x" * 3_000_000)
    bundle.write(tmp_path / "a.zip", {**FILES, "large": tmp_path / "source"})
    names = bundle.extract(tmp_path / "a.zip", tmp_path / "out")

    assert sorted(names) == sorted([*FILES, "large", bundle.CHECKSUMS])
    assert {name: (tmp_path / "out" / name).read_bytes() for name in FILES} == FILES
    assert (tmp_path / "out" / "large").read_bytes() == b"x" * 3_000_000
    assert bundle.unlike(tmp_path / "out", names) == []


def test_the_same_content_makes_the_same_bytes(tmp_path):
    """Neither the order in which files are named nor when they were written shows."""
    (tmp_path / "source").write_bytes(FILES["README.txt"])
    bundle.write(tmp_path / "a.zip", FILES)
    bundle.write(tmp_path / "b.zip", {**dict(reversed(FILES.items())), "README.txt": tmp_path / "source"})

    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


@pytest.mark.parametrize("name", UNSAFE)
def test_a_name_that_could_leave_is_refused(tmp_path, name):
    """Nothing is unpacked of a file that holds such a name, and none is written."""
    entry = zipfile.ZipInfo("x")
    entry.filename = entry.orig_filename = name
    made = _zip(tmp_path / "bad.zip", "good", entry)
    with pytest.raises(RecordError, match="may not hold"):
        bundle.extract(made, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(RecordError, match="may not hold"):
        bundle.write(tmp_path / "new.zip", {name: b""})
    assert not (tmp_path / "new.zip").exists()


def test_links_and_names_that_differ_by_capitals_are_refused(tmp_path):
    """A link would lead out of the folder; on some systems two spellings are one file."""
    link = zipfile.ZipInfo("link")
    link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    with pytest.raises(RecordError, match="plain files only"):
        bundle.extract(_zip(tmp_path / "link.zip", link), tmp_path / "out")
    with pytest.raises(RecordError, match="twice"):
        bundle.extract(_zip(tmp_path / "twice.zip", "Readme", "README"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_would_fill_the_disk_is_refused(tmp_path, monkeypatch):
    """The unpacked size is known before anything is written."""
    monkeypatch.setattr(bundle, "MOST_BYTES", 10)
    with pytest.raises(RecordError, match="14 bytes"):
        bundle.extract(_zip(tmp_path / "large.zip", "a", "b"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_other_files_are_refused_in_words(tmp_path):
    """No zip, none there, cut short, without checksums: each is told."""
    (tmp_path / "text.zip").write_text("no zip")
    with pytest.raises(RecordError, match="no bundle"):
        bundle.extract(tmp_path / "text.zip", tmp_path / "out")
    with pytest.raises(RecordError, match="there is no file"):
        bundle.extract(tmp_path / "none.zip", tmp_path / "out")
    whole = _zip(tmp_path / "whole.zip", "a").read_bytes()
    (tmp_path / "cut.zip").write_bytes(whole[:-10])
    with pytest.raises(RecordError, match="no bundle"):
        bundle.extract(tmp_path / "cut.zip", tmp_path / "out")
    names = bundle.extract(tmp_path / "whole.zip", tmp_path / "unpacked")
    with pytest.raises(RecordError, match=r"no checksums\.sha256"):
        bundle.unlike(tmp_path / "unpacked", names)


def test_each_way_to_differ_from_the_checksums_is_told(tmp_path):
    """A changed file, a missing one, and one that is not listed."""
    bundle.write(tmp_path / "a.zip", FILES)
    names = bundle.extract(tmp_path / "a.zip", tmp_path / "out")
    (tmp_path / "out" / "README.txt").write_bytes(b"read that")
    (tmp_path / "out" / "more").touch()
    names = [*(name for name in names if name != "b/summary.json"), "more"]

    assert {(each.name, each.what) for each in bundle.unlike(tmp_path / "out", names)} == {
        ("README.txt", "changed"),
        ("b/summary.json", "missing"),
        ("more", "not listed"),
    }


@given(name=st.text(max_size=30))
def test_whatever_a_file_is_called_it_stays_inside(tmp_path_factory, name):
    """A name is refused, or its file lies in the folder that it was unpacked to."""
    place = tmp_path_factory.mktemp("any")
    entry = zipfile.ZipInfo("x")
    entry.filename = entry.orig_filename = name
    try:
        made = _zip(place / "any.zip", entry)
    except UnicodeEncodeError:
        return
    folder = place / "deep" / "out"
    try:
        bundle.extract(made, folder)
    except RecordError:
        assert not folder.exists()
        return
    outside = [path for path in place.rglob("*") if path.is_file() and folder not in path.parents]
    assert outside == [made]
    assert (folder / name).is_file()
