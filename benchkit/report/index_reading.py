"""Reads what an index shows of each run, sweep and comparison in a folder: manifests, summaries, first tokens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import orjson

from benchkit.errors import RecordError
from benchkit.records import manifest as manifests
from benchkit.records import pairs, sweeps
from benchkit.records.layout import SUMMARY_NAME
from benchkit.records.paths import scrub_text
from benchkit.records.series import Series
from benchkit.records.stored import StoredRun, load
from benchkit.report.heading import load_of, model_of
from benchkit.report.index_entry import TRACKED, Entry, Kind, Number, Service, Tracked
from benchkit.report.index_series import ttft_over_time
from benchkit.report.precision import limits_of

REPORT: Final = "report.html"
EMBEDDED: Final = "embedded server"
_WORK: Final[tuple[tuple[str, Any], ...]] = (
    ("dataset", "synthetic"),
    ("prompt_form", "text"),
    ("prefix_tokens", 0),
    ("ignore_eos", True),
    ("temperature", 0.0),
    ("extra_body", {}),
)
"""Parameters of what is asked, with the values that need no mention."""
_SERIES: Final[tuple[tuple[Kind, Series], ...]] = (("sweep", sweeps.SERIES), ("comparison", pairs.SERIES))
_WORST: Final = ("invalid", "suspect", "valid")


def entries(folder: Path) -> tuple[Entry, ...]:
    """All runs, sweeps and comparisons of a folder with the runs inside them, the newest first; damaged ones too.

    Args:
        folder: as ``outputs``.
    """
    found: list[Entry] = []
    for path in sorted(folder.iterdir(), reverse=True):
        if (path / manifests.FILE_NAME).is_file():
            found.append(_run(path, path.name))
            continue
        for kind, series in _SERIES:
            if series.is_one(path):
                found += _of_series(path, kind, series)
    return tuple(found)


def pages(folder: Path, shown: tuple[Entry, ...]) -> tuple[str, ...]:
    """Other HTML pages one level below a folder, relative to it: reports that are no run's own."""
    known = {entry.folder for entry in shown}
    below = (path for path in sorted(folder.iterdir()) if path.is_dir() and path.name not in known)
    return tuple(f"{path.name}/{page.name}" for path in below for page in sorted(path.glob("*.html")))


def _run(path: Path, folder: str, parent: str = "") -> Entry:
    try:
        run = load(path)
        return _of_run(run, _summary(path), folder, parent)
    except RecordError as error:
        return Entry(
            "run", folder, path.name, _stamp(path.name), trouble=scrub_text(str(error)), parent=parent
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        trouble = f"its files are not as benchkit writes them ({type(error).__name__}: {error})"
        return Entry("run", folder, path.name, _stamp(path.name), trouble=trouble, parent=parent)


def _summary(path: Path) -> Mapping[str, Any] | None:
    """A run's summary, by the fastest reader at hand; None where it has none."""
    try:
        summary: Mapping[str, Any] = orjson.loads((path / SUMMARY_NAME).read_bytes())
    except FileNotFoundError:
        return None
    except orjson.JSONDecodeError as error:
        raise RecordError(f"{SUMMARY_NAME} is damaged: {error}") from error
    return summary


def _of_run(run: StoredRun, summary: Mapping[str, Any] | None, folder: str, parent: str) -> Entry:
    manifest = run.manifest
    known: dict[str, Any] = {
        "kind": "run",
        "folder": folder,
        "name": str(manifest["name"] or "run"),
        "created": str(manifest["created"]),
        "status": str(manifest["status"]),
        "service": _service(manifest),
        "load": load_of(manifest),
        "report": f"{folder}/{REPORT}" if (run.path / REPORT).is_file() else "",
        "parent": parent,
        "run": run,
    }
    if summary is None:
        return Entry(
            **known, trouble="it has no numbers yet; if nothing works on it, benchkit recover finishes it"
        )
    counts = summary["requests"]
    return Entry(
        **known,
        verdict=str(summary["validity"]["verdict"]),
        numbers=dict(_numbers(summary)),
        answered=counts["ok"],
        begun=None if counts["ok"] is None else sum(_counted(counts)),
        objectives=tuple(str(each["verdict"]) for each in summary.get("slo") or ()),
        series=ttft_over_time(run.path, manifest),
    )


def _counted(counts: Mapping[str, Any]) -> Iterator[int]:
    return (int(counts.get(name) or 0) for name in ("ok", "shed", "failed", "incomplete", "interrupted"))


def _numbers(summary: Mapping[str, Any]) -> Iterator[tuple[Tracked, Number]]:
    whole = summary["windows"]["whole"]
    for each in TRACKED:
        told = (whole["metrics"] if each.statistic else whole["rates"]).get(each.name) or {}
        value = told.get(each.statistic or "value")
        if value is not None:
            yield each, Number(float(value), limits_of(told, each.statistic))


def _service(manifest: Mapping[str, Any]) -> Service:
    asked, imported = manifest["parameters"], manifest.get("imported")
    # The embedded server has another port each time.
    url = f"measured by {imported.get('tool')}" if imported else str(asked.get("url") or EMBEDDED)
    return Service(url, model_of(manifest), _work(asked))


def _work(asked: Mapping[str, Any]) -> str:
    endpoint = str(asked.get("endpoint") or "")
    given, wanted = (asked.get(name) for name in ("input_tokens", "output_tokens"))
    lengths = "" if given is None or wanted is None else f"{given} \N{RIGHTWARDS ARROW} {wanted} tokens"
    spreads = [asked.get(f"{name}_tokens_spread") or 0.0 for name in ("input", "output")]
    spread = f"spread {' and '.join(dict.fromkeys(f'{each:g}' for each in spreads))}" if any(spreads) else ""
    special = [f"{name} {asked[name]}" for name, usual in _WORK if name in asked and asked[name] != usual]
    return ", ".join([*filter(None, [endpoint, lengths, spread]), *special])


def _of_series(path: Path, kind: Kind, series: Series) -> Iterator[Entry]:
    try:
        told = series.read(path)
        inner = [
            _run(path / each["folder"], f"{path.name}/{each['folder']}", path.name)
            for each in told[series.listed]
            if _is_name(each.get("folder")) and (path / each["folder"]).is_dir()
        ]
        yield _whole(path, kind, told, inner)
        yield from inner
    except RecordError as error:
        yield Entry(kind, path.name, path.name, _stamp(path.name), trouble=scrub_text(str(error)))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        trouble = f"its files are not as benchkit writes them ({type(error).__name__}: {error})"
        yield Entry(kind, path.name, path.name, _stamp(path.name), trouble=trouble)


def _is_name(folder: Any) -> bool:
    """Whether it lies in the folder that names it."""
    return isinstance(folder, str) and bool(folder) and Path(folder).name == folder


def _whole(path: Path, kind: Kind, told: Mapping[str, Any], inner: list[Entry]) -> Entry:
    verdicts = {entry.verdict for entry in inner}
    first = inner[0] if inner else None
    rate = TRACKED[0]
    through = sorted(
        (entry.numbers[rate] for entry in inner if rate in entry.numbers), key=lambda each: each.value
    )
    through = through if kind == "sweep" else []
    return Entry(
        kind,
        path.name,
        str(told["name"] or kind),
        str(told["created"]),
        status=str(told["status"]),
        verdict=next((word for word in _WORST if word in verdicts), ""),
        service=first.service if first else Service(str(told["parameters"].get("url") or EMBEDDED), "", ""),
        load=_several(kind, told, inner),
        answered=sum(entry.answered or 0 for entry in inner) if inner else None,
        begun=sum(entry.begun or 0 for entry in inner) if inner else None,
        numbers={rate: through[-1]} if through else {},
        series=tuple(number.value for number in through),
        report=f"{path.name}/{REPORT}" if (path / REPORT).is_file() else "",
    )


def _several(kind: Kind, told: Mapping[str, Any], inner: list[Entry]) -> str:
    count = f"{len(inner)} {'load' if kind == 'sweep' else 'run'}{'' if len(inner) == 1 else 's'}"
    if kind == "comparison":
        return f"{count} in pairs"
    rates = sorted(float(each["rate"]) for each in told["points"] if each.get("rate"))
    if not rates:
        return count
    between = f"{rates[0]:.3g} to {rates[-1]:.3g}" if len(rates) > 1 else f"{rates[0]:.3g}"
    return f"{count}, {between} requests/s"


def _stamp(name: str) -> str:
    """The time in a folder's name as a manifest writes it; empty where there is none."""
    text = name[:16]
    if len(text) == 16 and text[8] == "T" and text[15] == "Z" and (text[:8] + text[9:15]).isdigit():
        return f"{text[:4]}-{text[4:6]}-{text[6:8]}T{text[9:11]}:{text[11:13]}:{text[13:15]}+00:00"
    return ""
