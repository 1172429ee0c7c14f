"""Turns what the processes of a run left behind into its finished folder."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from benchkit.experiments.watch import SATURATED
from benchkit.load.spec import SPEC_FILE
from benchkit.parameters import RunParameters
from benchkit.records import store
from benchkit.records.atomic import atomic_path

TEXTS_FOLDER = "texts"
TEXTS_NAME = "texts.jsonl"
"""Prompts and answers, a line a request; only with ``keep_text``."""
_INTERRUPTS = frozenset({"interrupt", "parent_died"})
_ENDS = frozenset({None, SATURATED})
"""A load that was ended since it had shown what it can show is complete."""


def complete(
    folder: store.RunFolder,
    parameters: RunParameters,
    facts: dict[str, Any],
    *,
    clock: dict[str, int] | None = None,
    telemetry: Any = None,
) -> dict[str, Any]:
    """Merges a run's parts, computes its summary and closes its folder.

    Args:
        folder: the run, whose processes have ended.
        parameters: as it was asked for.
        facts: the manifest's ``load``.
        clock: the anchor of the run's time, where it is known better than at its creation.
        telemetry: samples, a table of ``schema.TELEMETRY``.

    Returns:
        The manifest.
    """
    if clock is not None:
        folder.update_manifest(clock=clock)
    _merge_texts(folder.path)
    store.merge_parts(folder.path)
    summary = summarised(folder.path, parameters, facts, telemetry=telemetry)
    stopped_by = facts.get("stopped_by")
    status = "complete" if stopped_by in _ENDS else "interrupted" if stopped_by in _INTERRUPTS else "failed"
    (folder.path / SPEC_FILE).unlink(missing_ok=True)
    return store.finish(folder, status=status, summary=summary, load=facts, telemetry=telemetry)


def summarised(
    path: Path, parameters: RunParameters, facts: dict[str, Any], *, telemetry: Any = None
) -> dict[str, Any]:
    """The content of ``summary.json`` for what a run's folder holds by now, merged or in parts.

    Args:
        path: the folder; no load is on.
        parameters: as the run was asked for.
        facts: the manifest's ``load``, as far as the run has come.
        telemetry: samples, a table of ``schema.TELEMETRY``: evidence for the verdict.
    """
    from benchkit.analysis.metrics import build_summary
    from benchkit.analysis.window import Window
    from benchkit.objectives import parse

    run = store.load(path)
    window = facts["window"]
    return build_summary(
        run.requests,
        run.chunks,
        window=Window(window["start_ns"], window["end_ns"]),
        objectives=[parse(text) for text in parameters.slo],
        load_facts=facts,
        parameters=parameters.model_dump(mode="json"),
        telemetry=None if telemetry is None else telemetry.to_pandas(),
        preflight=run.manifest.get("preflight"),
    )


def _merge_texts(folder: Path) -> None:
    """Puts the kept prompts and answers of all parts into one file, ``texts.jsonl``."""
    parts = sorted((folder / TEXTS_FOLDER).glob("*.jsonl"))
    if parts:
        with atomic_path(folder / TEXTS_NAME) as whole, whole.open("wb") as file:
            for part in parts:
                with part.open("rb") as source:
                    shutil.copyfileobj(source, file)
        shutil.rmtree(folder / TEXTS_FOLDER)
