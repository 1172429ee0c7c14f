"""Finishes the folder of a run whose processes were killed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from benchkit.errors import RunActive, RunNotFound
from benchkit.load.spec import SPEC_FILE, TAPE_FOLDER, LoadSpec
from benchkit.load.transcribe import transcribe
from benchkit.parameters import RunParameters
from benchkit.records import processes, store

_TAPE = re.compile(r"w(\d+)[-.]")


def recover(path: Path) -> dict[str, Any]:
    """Transcribes what is left on a dead run's tapes and finishes its folder as interrupted.

    A run that is finished already is left as it is.

    Args:
        path: the run's folder.

    Returns:
        The manifest.

    Raises:
        RunNotFound: there is no run at that path.
        RunActive: a process of the run is still alive.
    """
    from benchkit.experiments.finishing import complete

    folder = store.RunFolder(path)
    manifest = folder.read_manifest()
    if manifest["status"] != "running":
        return manifest
    alive = processes.running(path)
    if alive:
        raise RunActive(
            f"{path} is still worked on by {', '.join(f'{p.role} (pid {p.pid})' for p in alive)}: wait for "
            "it, or stop it first"
        )
    if not (path / SPEC_FILE).exists() and not (path / store.MERGED_NAME).exists():
        raise RunNotFound(
            f"{path} was killed before any load was sent: there is nothing to recover; delete it"
        )
    facts, start_ns = _transcribe(path)
    folder.note("recovered after its processes were killed")
    parameters = RunParameters.model_validate(_revived(manifest["parameters"]))
    clock = None
    if start_ns:
        wall_offset_ns = manifest["clock"]["wall_ns"] - manifest["clock"]["monotonic_ns"]
        clock = {"wall_ns": wall_offset_ns + start_ns, "monotonic_ns": start_ns}
    return complete(folder, parameters, facts, clock=clock)


def _transcribe(path: Path) -> tuple[dict[str, Any], int]:
    """Transcribes every tape; returns the facts that a finished load would have told, and the run's start."""
    windows: list[dict[str, int]] = []
    workers: list[dict[str, Any]] = []
    origin_ns = 0
    if (path / SPEC_FILE).exists():
        spec = LoadSpec.read(path)
        tapes = sorted((path / TAPE_FOLDER).glob("r*"))
        for tape in tapes:
            repeat = int(tape.name[1:])
            numbers = sorted({int(match[1]) for file in tape.iterdir() if (match := _TAPE.match(file.name))})
            for number in numbers:
                told = transcribe(path, number, repeat=repeat)
                workers.append({**told["facts"], "worker": number, "repeat": repeat})
                origin_ns = origin_ns or told["start_ns"]
                start_ns = told["window_ns"] - told["start_ns"]
                last_ns = max(start_ns, told["last_ns"] - told["start_ns"])
                planned = start_ns + spec.duration_ns if spec.duration_ns else last_ns
                end_ns = (
                    (told["window_end_ns"] - told["start_ns"])
                    if told["window_end_ns"]
                    else min(planned, last_ns)
                )
                windows.append({"repeat": repeat, "start_ns": start_ns, "end_ns": end_ns})
    whole = {
        "start_ns": min((w["start_ns"] for w in windows), default=0),
        "end_ns": max((w["end_ns"] for w in windows), default=0),
    }
    return {
        "window": whole,
        "windows": windows,
        "workers": workers,
        "stopped_by": _why(workers),
        "fallbacks": sorted({name for worker in workers for name in worker.get("fallbacks", ())}),
    }, origin_ns


def _why(workers: list[dict[str, Any]]) -> str | None:
    """Why the load ended: as its workers noted, if all of them lived to note it."""
    if not workers or not all(worker["closed"] for worker in workers):
        return "interrupt"
    return next((worker["stopped_by"] for worker in workers if worker["stopped_by"]), None)


def _revived(values: dict[str, Any]) -> dict[str, Any]:
    """Parameters as the manifest keeps them; what was redacted there plays no part in finishing."""
    lists = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
    return {**values, **lists}
