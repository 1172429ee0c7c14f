"""The manifest tells all about a run and nothing about its user."""

import json
import time

import pytest

from benchkit.errors import RecordError
from benchkit.records import manifest as manifests
from benchkit.records.schema import SCHEMA_VERSION


def test_version_is_the_formats(make_run):
    """The number that is stated without pyarrow is the schema's."""
    assert manifests.FORMAT_VERSION == SCHEMA_VERSION
    assert make_run().read_manifest()["schema"] == SCHEMA_VERSION


def test_all_keys_are_there_from_the_beginning(make_run):
    """A reader of a run that was killed at once finds every key."""
    assert set(make_run().read_manifest()) == {
        *(
            "schema",
            "benchkit_version",
            "name",
            "status",
            "created",
            "clock",
            "parameters",
            "parameters_hash",
        ),
        *("plan", "plan_spec", "environment", "server", "preflight", "load", "checksums", "notes"),
    }


def test_secrets_and_paths_do_not_reach_the_file(make_run, monkeypatch, tmp_path):
    """Whatever hands in a key, a header or a path of this machine, the file has none of them."""
    monkeypatch.setenv("HOME", str(tmp_path / "ada"))
    run = make_run(
        parameters={
            "url": "https://u:hunter22@h/v1?code=hunter22",
            "headers": {"X-Key": "hunter22"},
            "extra_body": {"api_key": "hunter22", "top_k": 4},
            "api_key_env": "MY_KEY",
            "out": str(tmp_path / "ada" / "runs"),
        },
        server={"command": ["vllm", "serve", "/usr/share/model", "--api-key", "hunter22"]},
        notes=["log in /var/log/x.log: Bearer hunter22hunter22"],
    )
    text = (run.path / "manifest.json").read_text()
    assert "hunter22" not in text
    assert str(tmp_path) not in text
    manifest = json.loads(text)
    assert manifest["parameters"]["out"] == "~/runs"
    assert manifest["parameters"]["api_key_env"] == "MY_KEY"
    assert manifest["parameters"]["extra_body"]["top_k"] == 4
    assert manifest["server"]["command"] == ["vllm", "serve", ".../model", "--api-key", "<redacted>"]
    assert manifest["notes"] == ["log in .../x.log: Bearer <redacted>"]


def test_cleaning_is_stable(make_run):
    """A manifest that is read and written again stays the same."""
    run = make_run(server={"command": ["vllm", "--api-key", "abcdef", "/usr/lib/x"]})
    before = (run.path / "manifest.json").read_bytes()
    run.write_manifest(run.read_manifest())
    assert (run.path / "manifest.json").read_bytes() == before


def test_changes_and_notes_are_added(make_run):
    """An update replaces what it names; notes pile up."""
    run = make_run()
    run.update_manifest(plan={"sha256": "x"})
    run.note("first")
    run.note("second")
    manifest = run.read_manifest()
    assert manifest["plan"] == {"sha256": "x"}
    assert manifest["notes"] == ["first", "second"]
    assert manifest["parameters"] == {"rate": 1.0}


def test_unknown_status_is_refused(make_run):
    """A status is one of four words."""
    with pytest.raises(RecordError, match="'done'"):
        make_run(status="done")


def test_anchor_ties_both_clocks(make_run):
    """The anchor's two readings belong to the same moment, and the creation time is its wall clock."""
    anchor = manifests.clock_anchor()
    offset_ns = time.time_ns() - time.monotonic_ns()
    assert abs(anchor["wall_ns"] - anchor["monotonic_ns"] - offset_ns) < 50e6
    created = manifests.new(
        name="", parameters={}, parameters_hash="", clock={"wall_ns": 0, "monotonic_ns": 5}
    )
    assert created["created"] == "1970-01-01T00:00:00.000+00:00"
