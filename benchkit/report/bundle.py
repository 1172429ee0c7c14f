"""Packs runs and sweeps into one file that opens anywhere and can be held to its own numbers."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from benchkit import __version__
from benchkit.errors import InvalidParameter, RecordError, RunActive, RunNotFound
from benchkit.records import bundle as bundles
from benchkit.records import manifest as manifests
from benchkit.records import pairs, store, sweeps
from benchkit.records.layout import MERGED_NAME, SUMMARY_NAME, TELEMETRY_NAME
from benchkit.records.project import in_project
from benchkit.records.series import Series
from benchkit.report.bundle_check import Checked, check

__all__ = ["PLAN", "README", "Checked", "check", "pack"]

README: Final = "README.txt"
PLAN: Final = "plan.json"
"""What the plan was drawn from, and its hash: the manifest has both; here they are for those who look for them."""
_REPORTS: Final = ("report.html", "report.ipynb", "report.md", "report.pdf")
_OF_RUN: Final = (manifests.FILE_NAME, MERGED_NAME, SUMMARY_NAME, TELEMETRY_NAME, *_REPORTS)
_SERIES: Final[tuple[Series, ...]] = (sweeps.SERIES, pairs.SERIES)

_TOLD: Final = """\
This is a bundle of measurements of LLM serving, made by benchkit {version}.

{contents}

To read it: open report.html in a browser; it needs no network. report.ipynb is the executed notebook behind it.

In the folder of a run lie
  manifest.json      what was asked, on which machine, against which server; no secrets
  plan.json          what the requests were drawn from, and the hash of the plan
  requests.parquet   one row a request, with the time of every token
  summary.json       the numbers, the objectives and the verdict
  telemetry.parquet  what was sampled beside it, if anything was
Prompts and answers are not in it.

To check it: `sha256sum -c checksums.sha256` in the unpacked folder, or
  benchkit bundle --check FILE.zip
which also computes the numbers from the records again and compares them to the last digit. To go on working with a
run, unpack its folder into outputs/; `benchkit report`, `benchkit compare` and `benchkit.load_run` take it from there.
"""


def pack(sources: Sequence[str | Path], out: Path | None = None) -> Path:
    """Writes a bundle of finished runs, sweeps and comparisons, and gives its path.

    A run or sweep that has no report yet gets one first. Prompts and answers, where they were kept, stay behind.

    Args:
        sources: folders, or beginnings of their names in ``outputs``; ``latest`` is the newest run.
        out: the file; by default it lies beside the first of them and has its name.

    Raises:
        RunNotFound: there is no such run.
        RunActive: a run is not finished.
        RecordError: the records of a run are not those that it wrote.
        ReportError: a report could not be made.
    """
    folders = [_folder(source) for source in sources]
    names = [folder.name for folder in folders]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise InvalidParameter(f"{', '.join(sorted(twice))} would be in the bundle twice")
    files: dict[str, Path | bytes] = {}
    for folder in folders:
        files |= dict(_of(folder))
    files[README] = _readme(folders).encode()
    place = out or folders[0].with_name(f"{folders[0].name}.zip")
    place.parent.mkdir(parents=True, exist_ok=True)
    bundles.write(place, files)
    return place


def _folder(source: str | Path) -> Path:
    path, out = Path(source).expanduser(), in_project("outputs")
    for place in (path, in_project(path)):
        if (place / manifests.FILE_NAME).is_file() or _series_of(place):
            return place.resolve()
    for series in _SERIES if str(source) != "latest" else ():
        with contextlib.suppress(RunNotFound):
            return series.find(source, out).resolve()
    return store.find(source, out).path.resolve()


def _series_of(folder: Path) -> Series | None:
    return next((series for series in _SERIES if series.is_one(folder)), None)


def _of(folder: Path) -> Iterator[tuple[str, Path | bytes]]:
    """The files of a run, sweep or comparison by their names in the bundle."""
    series = _series_of(folder)
    if series is None:
        yield from _of_run(folder, folder.name)
        return
    told = series.read(folder)
    _refuse_running(folder, told)
    inner = [str(each["folder"]) for each in told[series.listed] if each.get("folder")]
    for name in inner:
        if Path(name).name != name:
            raise RecordError(f"{folder / series.file_name} names a folder outside of it: {name!r}")
    there = [name for name in inner if (folder / name / manifests.FILE_NAME).is_file()]
    for name in there:
        yield from _of_run(folder / name, f"{folder.name}/{name}", reported=False)
    if series is sweeps.SERIES and not (folder / _REPORTS[0]).is_file():
        from benchkit.report.execute import report_from_sweep

        report_from_sweep(folder)
    yield from _present(folder, folder.name, (series.file_name, *_REPORTS))


def _of_run(folder: Path, name: str, *, reported: bool = True) -> Iterator[tuple[str, Path | bytes]]:
    manifest = manifests.read(folder)
    _refuse_running(folder, manifest)
    changed = store.verify_checksums(folder)
    if changed:
        raise RecordError(
            f"{folder} does not hold what its run wrote: {', '.join(each.file for each in changed)} changed since; "
            "only untouched records are bundled"
        )
    if reported and not (folder / _REPORTS[0]).is_file():
        from benchkit.report.execute import report_from_run

        report_from_run(folder)
    plan = {key: manifest.get(key) for key in ("parameters_hash", "plan", "plan_spec")}
    yield f"{name}/{PLAN}", (json.dumps(plan, indent=2, ensure_ascii=False) + "\n").encode()
    yield from _present(folder, name, _OF_RUN)


def _present(folder: Path, name: str, files: Sequence[str]) -> Iterator[tuple[str, Path | bytes]]:
    yield from ((f"{name}/{file}", folder / file) for file in files if (folder / file).is_file())
    # The pictures of a report in Markdown.
    pictures = sorted(folder.glob("report_files/*.png")) if "report.md" in files else []
    yield from ((f"{name}/report_files/{picture.name}", picture) for picture in pictures)


def _refuse_running(folder: Path, told: Mapping[str, Any]) -> None:
    if told.get("status") == "running":
        raise RunActive(f"{folder} is not finished: wait for it, or `benchkit recover` it, then bundle it")


def _readme(folders: Sequence[Path]) -> str:
    contents = "\n".join(f"  {folder.name}/" for folder in folders)
    return _TOLD.format(version=__version__, contents=contents)
