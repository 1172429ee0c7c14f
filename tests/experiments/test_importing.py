"""Other tools' files as run folders of our own."""

import json
from pathlib import Path

import pytest

import benchkit
from benchkit.analysis.imported import import_points
from benchkit.analysis.points import point_of
from benchkit.errors import ForeignFileError
from benchkit.experiments.importing import import_file
from benchkit.parameters import resolve
from benchkit.records import store
from benchkit.records.interop.export import export

ROOT = Path(__file__).parents[2]
DATA = ROOT / "tests" / "data"
DETAILED = DATA / "vllm_bench" / "detailed.json"
FILES = (
    DETAILED,
    DATA / "vllm_bench" / "summary.json",
    DATA / "guidellm" / "benchmarks.json",
    DATA / "aiperf" / "profile_export_aiperf.json",
    ROOT / "params" / "article_sweep.csv",
)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_an_imported_load_is_a_run_like_any_other(tmp_path, path):
    """Its folder loads, is whole, prints its result, and is the same point as the file itself."""
    for folder, point in zip(import_file(path, str(tmp_path)), import_points(path), strict=True):
        run = benchkit.load_run(folder)
        assert store.verify_checksums(folder) == []
        assert run.summary == json.loads(json.dumps(point.summary))
        assert run.verdict == "suspect"
        assert "measured by another client" in str(run)
        assert run._repr_html_()
        stored = point_of(run.stored, point.name)
        assert (stored.load, stored.rate, stored.concurrency) == (point.load, point.rate, point.concurrency)
        assert (stored.tool, stored.notes) == (point.tool, point.notes)
        assert (stored.records is None) == (point.records is None)
        resolve(run.manifest["parameters"])


def test_requests_and_events_are_kept(tmp_path):
    """The stored requests and events are those of the file, to the ns."""
    [folder] = import_file(DETAILED, str(tmp_path))
    run, [point] = benchkit.load_run(folder), import_points(DETAILED)
    assert run.requests["sent_ns"].to_list() == point.records.requests["sent_ns"].to_list()
    assert run.stored.chunks.ns.tolist() == point.records.chunks.ns.tolist()
    assert export(run.stored, "vllm")["mean_ttft_ms"] == export(point.records, "vllm")["mean_ttft_ms"]


def test_the_manifest_says_where_it_came_from(tmp_path):
    """File, tool, version and what the file lacks stand in the manifest; no path of this machine does."""
    [folder] = import_file(DATA / "guidellm" / "benchmarks.json", str(tmp_path))
    text = (folder / "manifest.json").read_text()
    imported = json.loads(text)["imported"]
    assert (imported["file"], imported["tool"], imported["version"]) == (
        "benchmarks.json",
        "guidellm",
        "0.8.1",
    )
    assert any("average" in note for note in imported["notes"])
    assert str(ROOT) not in text


def test_a_sweep_file_gives_a_folder_a_point(tmp_path):
    """Ten rows are ten folders, whose names do not collide."""
    folders = import_file(ROOT / "params" / "article_sweep.csv", str(tmp_path))
    assert len({folder.name for folder in folders}) == 10
    assert len(store.list_runs(tmp_path)) == 10


def test_nothing_is_written_for_a_bad_file(tmp_path):
    """A file that cannot be read leaves no folder behind."""
    bad = tmp_path / "bad.json"
    bad.write_text("{")
    with pytest.raises(ForeignFileError):
        import_file(bad, str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()
