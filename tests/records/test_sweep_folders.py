"""Sweeps' folders: made, found, taken up again."""

import json

import pytest

from benchkit.errors import RecordError, RunNotFound, SchemaMismatch
from benchkit.records import processes, sweeps


def test_a_new_sweep_is_running_and_found(tmp_path):
    """Its folder holds sweep.json, and is found by path, by the beginning of its name and as the latest."""
    made = sweeps.create(tmp_path, "my sweep", {"points": 3}, "abcdef0123")
    assert made.name.endswith("-my-sweep-abcdef")
    assert sweeps.read(made)["status"] == "running"
    assert sweeps.find(made, tmp_path) == sweeps.find(made.name[:12], tmp_path) == made
    assert sweeps.find("latest", tmp_path) == made


def test_two_of_the_same_second_have_folders_of_their_own(tmp_path):
    """No two sweeps share a folder."""
    first, second = (sweeps.create(tmp_path, "", {}, "abcdef0123") for _ in range(2))
    assert first != second
    with pytest.raises(RunNotFound, match="2 sweeps fit"):
        sweeps.find(first.name[:9], tmp_path)


def test_secrets_do_not_reach_the_file(tmp_path):
    """Values of headers are redacted."""
    made = sweeps.create(tmp_path, "", {"headers": {"authorization": "Bearer abc123"}}, "0" * 40)
    assert "abc123" not in (made / "sweep.json").read_text()


def test_an_unfinished_sweep_of_the_same_parameters_is_taken_up(tmp_path):
    """The newest that is not complete, has these parameters and is nobody's."""
    made = sweeps.create(tmp_path, "", {}, "a" * 40)
    assert sweeps.unfinished(tmp_path, "a" * 40) == made
    assert sweeps.unfinished(tmp_path, "b" * 40) is None
    import os

    processes.remember(made, "runner", os.getpid())
    assert sweeps.unfinished(tmp_path, "a" * 40) is None
    processes.forget(made)
    sweeps.write(made, sweeps.read(made) | {"status": "complete"})
    assert sweeps.unfinished(tmp_path, "a" * 40) is None


def test_damage_is_named(tmp_path):
    """A file that is no JSON, no sweep, or of a later version is refused with its path."""
    made = sweeps.create(tmp_path, "", {}, "a" * 40)
    file = made / "sweep.json"
    text = file.read_text()
    file.write_text(text[:40])
    with pytest.raises(RecordError, match="damaged"):
        sweeps.read(made)
    assert sweeps.unfinished(tmp_path, "a" * 40) is None
    file.write_text("[]")
    with pytest.raises(RecordError, match="not the record of a sweep"):
        sweeps.read(made)
    file.write_text(json.dumps(json.loads(text) | {"schema": 99}))
    with pytest.raises(SchemaMismatch, match="later version"):
        sweeps.read(made)
    with pytest.raises(RunNotFound, match=r"no sweep\.json"):
        sweeps.read(tmp_path)
