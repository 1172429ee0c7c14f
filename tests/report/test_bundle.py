"""A bundle of runs: whole, without secrets, and true to its own numbers."""

from __future__ import annotations

import json
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import benchkit
from benchkit.errors import InvalidParameter, RecordError, RunActive, RunNotFound
from benchkit.records import bundle as bundles
from benchkit.records import sweeps
from benchkit.report.bundle import check, pack
from benchkit.serving.process import ServerProcess

SECRETS = ("Bearer horse-battery-staple-42", "correct-horse-9000", "swordfish-1234")


@pytest.fixture(scope="module")
def measured(embedded: ServerProcess, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a real run whose headers, address and key are secret, with texts that were kept and a report."""
    out = tmp_path_factory.mktemp("outputs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MY_KEY", SECRETS[2])
        run = benchkit.run(
            url=embedded.url + "?token=" + SECRETS[1],
            headers={"Authorization-Extra": SECRETS[0]},
            api_key_env="MY_KEY",
            load="poisson",
            rate=30.0,
            warmup_s=0.3,
            duration_s=1.5,
            input_tokens=24,
            output_tokens=8,
            slo=["p50 ttft < 5s"],
            keep_text=True,
            out=str(out),
        )
    (run.path / "report.html").write_text("<!doctype html><title>a report</title>")
    (run.path / "report.ipynb").write_text("{}")
    return run.path


@pytest.fixture
def copied(measured: Path, tmp_path: Path) -> Path:
    """A copy of that run that a test may spoil."""
    return shutil.copytree(measured, tmp_path / measured.name)


def _unpacked(file: Path, into: Path) -> dict[str, bytes]:
    return {name: (into / name).read_bytes() for name in bundles.extract(file, into)}


def test_it_holds_what_someone_elsewhere_needs(measured: Path, tmp_path: Path) -> None:
    """Plan, manifest, records, numbers, samples, report, checksums and a page that says what is what."""
    made = pack([measured], tmp_path / "a.zip")
    with zipfile.ZipFile(made) as file:
        names = set(file.namelist())
        readme = file.read("README.txt").decode()
        plan = json.loads(file.read(f"{measured.name}/plan.json"))
    inside = ["manifest.json", "plan.json", "requests.parquet", "summary.json", "report.html", "report.ipynb"]
    assert {"README.txt", "checksums.sha256", *(f"{measured.name}/{name}" for name in inside)} <= names
    assert measured.name in readme
    assert "benchkit bundle --check" in readme
    assert plan["plan"]["sha256"] == benchkit.load_run(measured).manifest["plan"]["sha256"]
    assert plan["plan_spec"]["rate"] == 30.0


def test_it_gives_its_own_numbers_again(measured: Path, tmp_path: Path) -> None:
    """The summary is computed from the records in the bundle, and is the stored one to the last digit."""
    found = check(pack([measured], tmp_path / "a.zip"))
    assert found.holds, found.text
    assert "all as their checksums say" in found.text
    assert "to the last digit" in found.text


def test_the_same_run_makes_the_same_bytes(measured: Path, copied: Path, tmp_path: Path) -> None:
    """Whoever packs it, wherever and whenever."""
    one, other = pack([measured], tmp_path / "a.zip"), pack([copied], tmp_path / "b.zip")
    assert one.read_bytes() == other.read_bytes()


def test_its_checksums_are_those_of_sha256sum(measured: Path, tmp_path: Path) -> None:
    """Where benchkit is not at hand, `sha256sum -c` does."""
    _unpacked(pack([measured], tmp_path / "a.zip"), tmp_path / "out")
    done = subprocess.run(
        ["sha256sum", "-c", "--quiet", "checksums.sha256"],
        cwd=tmp_path / "out",
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_it_has_no_secret_and_no_text(measured: Path, tmp_path: Path) -> None:
    """Headers, the address's query, the key, prompts and answers stay behind; all else comes along."""
    assert (measured / "texts.jsonl").is_file()
    files = _unpacked(pack([measured], tmp_path / "a.zip"), tmp_path / "out")
    assert not [name for name in files if "text" in Path(name).name]
    for name, content in files.items():
        for secret in (*SECRETS, *(secret.removeprefix("Bearer ") for secret in SECRETS)):
            assert secret.encode() not in content, name
    assert b"<redacted>" in files[f"{measured.name}/manifest.json"]


def _remade(file: Path, folder: Path, change: Callable[[Path], None]) -> Path:
    """The bundle with something changed and all checksums made anew, as a forger would."""
    files = _unpacked(file, folder)
    change(folder)
    contents: dict[str, Path | bytes] = {name: folder / name for name in files if name != bundles.CHECKSUMS}
    bundles.write(folder.with_suffix(".zip"), contents)
    return folder.with_suffix(".zip")


def test_a_number_that_the_records_do_not_give_is_found(measured: Path, tmp_path: Path) -> None:
    """A summary that was prettied, with every checksum made to fit, is told with the place and both numbers."""

    def pretty(folder: Path) -> None:
        import hashlib

        summary, manifest = (folder / measured.name / name for name in ("summary.json", "manifest.json"))
        told = json.loads(summary.read_text())
        told["windows"]["whole"]["metrics"]["ttft_ms"]["p99"] = 1.5
        summary.write_text(json.dumps(told))
        noted = json.loads(manifest.read_text())
        noted["checksums"]["summary.json"] = hashlib.sha256(summary.read_bytes()).hexdigest()
        manifest.write_text(json.dumps(noted))

    found = check(_remade(pack([measured], tmp_path / "a.zip"), tmp_path / "forged", pretty))
    assert not found.holds
    assert "windows.whole.metrics.ttft_ms.p99 is 1.5, the records give" in found.text


def test_a_file_that_was_changed_is_found(measured: Path, tmp_path: Path) -> None:
    """First by the bundle's checksums; where these were made anew, by the manifest's."""
    made = pack([measured], tmp_path / "a.zip")
    files = _unpacked(made, tmp_path / "out")
    with zipfile.ZipFile(tmp_path / "changed.zip", "w") as file:
        for name, content in files.items():
            file.writestr(name, content + b" " if name.endswith("summary.json") else content)
    assert "summary.json is changed" in check(tmp_path / "changed.zip").text

    def change(folder: Path) -> None:
        with (folder / measured.name / "summary.json").open("ab") as file:
            file.write(b" ")

    found = check(_remade(made, tmp_path / "again", change))
    assert not found.holds
    assert "summary.json is not what the run wrote" in found.text


def test_what_is_not_finished_or_not_untouched_is_refused(copied: Path, tmp_path: Path) -> None:
    """A run that is on, records that were edited, a run that is not there, one named twice."""
    with pytest.raises(InvalidParameter, match="twice"):
        pack([copied, copied], tmp_path / "no.zip")
    with pytest.raises(RunNotFound):
        pack([tmp_path / "nowhere"], tmp_path / "no.zip")
    with (copied / "summary.json").open("a") as file:
        file.write(" ")
    with pytest.raises(RecordError, match=r"summary\.json changed"):
        pack([copied], tmp_path / "no.zip")
    told = json.loads((copied / "manifest.json").read_text())
    (copied / "manifest.json").write_text(json.dumps({**told, "status": "running"}))
    with pytest.raises(RunActive, match="not finished"):
        pack([copied], tmp_path / "no.zip")
    assert not (tmp_path / "no.zip").exists()


def test_a_sweep_is_bundled_with_the_runs_of_its_points(measured: Path, tmp_path: Path) -> None:
    """The sweep's file and report, each point's records, and each is held to its numbers."""
    sweep = sweeps.create(tmp_path, "two", {}, "0" * 64, cells=[])
    points = []
    for name in ("one", "other"):
        shutil.copytree(measured, sweep / name)
        points.append({"folder": name, "status": "complete"})
    told: dict[str, Any] = {**sweeps.read(sweep), "status": "complete", "points": points}
    sweeps.write(sweep, told)
    (sweep / "report.html").write_text("a report")
    made = pack([sweep])
    assert made == sweep.with_name(f"{sweep.name}.zip")
    found = check(made)
    assert found.holds, found.text
    assert found.text.count("to the last digit") == 2
    with zipfile.ZipFile(made) as file:
        assert {
            f"{sweep.name}/sweep.json",
            f"{sweep.name}/report.html",
            f"{sweep.name}/one/summary.json",
        } <= set(file.namelist())
    sweeps.write(sweep, {**told, "points": [{"folder": "../elsewhere"}]})
    with pytest.raises(RecordError, match="outside of it"):
        pack([sweep])
