"""The public face of a run: make one, load one, read its tables, make its report."""

from __future__ import annotations

import asyncio
import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from benchkit.errors import BenchkitError, RunNotFound
from benchkit.parameters import RunParameters, resolve
from benchkit.records import store
from benchkit.records.project import in_project

if TYPE_CHECKING:
    import pandas as pd

    from benchkit.experiments.run import Hooks
    from benchkit.records.stored import StoredRun

STORED_RUN_VARIABLE = "BENCHKIT_STORED_RUN"
"""When set to a run's folder, ``run_async`` loads that run instead of sending load: a report is made again."""


class Run:
    """A finished run.

    Attributes:
        stored: the records underneath.
    """

    def __init__(self, stored: StoredRun) -> None:
        self.stored = stored

    @property
    def path(self) -> Path:
        """The run's folder."""
        return self.stored.path

    @property
    def manifest(self) -> dict[str, Any]:
        """What the run was: parameters, plan, machine, server, status."""
        return self.stored.manifest

    @property
    def summary(self) -> dict[str, Any]:
        """The numbers, the objectives and the verdict, as ``summary.json`` has them."""
        return self.stored.summary

    @property
    def requests(self) -> pd.DataFrame:
        """One row a request; times are ns since the run's start. Columns: ``benchkit.records.schema.REQUESTS``."""
        return self.stored.requests

    @cached_property
    def chunks(self) -> pd.DataFrame:
        """One row a token-bearing event: its request's row, its number in it, its two times in ns, tokens, censored."""
        return self.stored.chunks.to_frame(self.stored.requests)

    @property
    def verdict(self) -> str:
        """``valid``, ``suspect`` or ``invalid``."""
        return str(self.summary["validity"]["verdict"])

    def report(self, out: str | Path | None = None) -> Path:
        """Makes ``report.ipynb`` and ``report.html`` from what is stored, without load; returns the HTML's path.

        Args:
            out: folder for the two files; the run's own by default.

        Raises:
            ReportError: the notebook could not be executed or rendered.
        """
        from benchkit.report.execute import report_from_run

        return report_from_run(self.path, out)

    def __str__(self) -> str:
        from benchkit.report.result_block import result_block

        return result_block(self.summary, self.manifest)

    def __repr__(self) -> str:
        return f"<benchkit.Run {self.path.name}: {self.verdict}>"

    def _repr_html_(self) -> str:
        from benchkit.report.tables import result_html

        return result_html(self.summary, self.manifest)


async def run_async(
    parameters: RunParameters | None = None, *, hooks: Hooks | None = None, **values: Any
) -> Run:
    """Measures a server: preflight, load, records, numbers, verdict.

    Args:
        parameters: resolved parameters; or give them by name, as ``run_async(url="…", rate=8.0, load="poisson")``.
        hooks: who is told how it goes; in a notebook a live display by default.
        values: parameters by name, see ``docs/parameters.md``.

    Raises:
        ParameterError: the parameters make no sense.
        TargetError: the server cannot be reached or used.
        PreflightFailed: a run would measure nothing.
        LoadError: a process of the load failed.
    """
    stored = os.environ.get(STORED_RUN_VARIABLE)
    if stored:
        return load_run(stored)
    if parameters is None:
        parameters = resolve(values)
    elif values:
        parameters = resolve({**parameters.model_dump(exclude_unset=True), **values})
    from benchkit.experiments.run import measure

    if hooks is None:
        from benchkit.report import live

        hooks = live.hooks()
    return load_run(await measure(parameters, hooks))


def run(parameters: RunParameters | None = None, *, hooks: Hooks | None = None, **values: Any) -> Run:
    """Measures a server from a program without an event loop; see ``run_async``.

    Raises:
        BenchkitError: an event loop is running already, as in a notebook.
    """
    if not _in_event_loop():
        return asyncio.run(run_async(parameters, hooks=hooks, **values))
    raise BenchkitError(
        "an event loop is running here (a notebook?): write `run = await benchkit.run_async(…)`"
    )


def _in_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def load_run(path: str | Path) -> Run:
    """Loads a run from its folder, or by the beginning of its folder's name in ``outputs``; ``latest`` is the newest.

    Another tool's result file of one load is taken too: what it lacks is null.

    Raises:
        RunNotFound: there is none, or the file holds several loads.
        ForeignFileError: the file is damaged or of no known kind.
        SchemaMismatch: a later version of benchkit wrote it.
    """
    from benchkit.records import stored

    if Path(path).expanduser().is_file():
        return Run(_imported(Path(path).expanduser()))
    return Run(stored.load(store.find(path, in_project("outputs")).path))


def _imported(file: Path) -> StoredRun:
    from benchkit.analysis.imported import ImportedRun
    from benchkit.records.interop import recognise

    points = recognise.read(file)
    if len(points) != 1:
        raise RunNotFound(
            f"{file} holds {len(points)} loads, not one run: keep each as a run by `benchkit import {file}`, or give "
            "the file to `benchkit capacity`"
        )
    run: Any = ImportedRun(points[0])
    run.path = file
    return cast("StoredRun", run)
