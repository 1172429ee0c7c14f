"""The whole job from end to end on the embedded server: serve, measure, sweep, and count servers, by the notebooks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from benchkit.errors import ReportError
from benchkit.parameters.sources import load_file
from benchkit.records.project import in_project
from benchkit.report.capacity_report import Capacity, capacity
from benchkit.report.execute import execute, notebook_path, report_from_notebook
from benchkit.report.run import Run, load_run
from benchkit.serving.process import find_server, free_port, stop

_PARTS = ("serve", "run", "sweep", "capacity")


class Demo(NamedTuple):
    """What the demonstration leaves."""

    run: Run
    capacity: Capacity
    run_report: Path
    sweep_report: Path
    capacity_report: Path


def demo(say: Callable[[str], None]) -> Demo:
    """Executes the four notebooks through papermill with `params/demo_*.yaml`.

    Args:
        say: told each step in a sentence.

    Raises:
        ReportError: the parameter files are not there (benchkit was installed without its project), or a cell failed.
    """
    files = {part: in_project(f"params/demo_{part}.yaml") for part in _PARTS}
    missing = [file.name for file in files.values() if not file.is_file()]
    if missing:
        raise ReportError(
            f"{files['run'].parent} has no {', '.join(missing)}: run this in a checkout of benchkit"
        )
    values = {part: load_file(file) for part, file in files.items()}
    port = free_port()
    folder = in_project("outputs/demo")
    say(f"notebooks/serve_model.ipynb with demo_serve.yaml: starting the embedded server on port {port}")
    execute(notebook_path("serve_model"), folder / "serve_model.ipynb", {**values["serve"], "port": port})
    url = find_server(port).url
    try:
        seconds = values["run"].get("warmup_s", 3) + values["run"].get("duration_s", 30)
        say(f"notebooks/run_benchmark.ipynb with demo_run.yaml: {seconds:g} s of load, then the report")
        run_report = report_from_notebook("run_benchmark", {**values["run"], "url": url})
        say(
            f"notebooks/sweep.ipynb with demo_sweep.yaml: {2 + values['sweep']['points']} loads of some 20 s each"
        )
        sweep_report = report_from_notebook("sweep", {**values["sweep"], "url": url})
    finally:
        stop(port)
    asked = {**values["capacity"], "sources": [str(sweep_report.parent)]}
    say("notebooks/capacity_analysis.ipynb with demo_capacity.yaml: no load, only arithmetic")
    capacity_report = report_from_notebook("capacity_analysis", asked, folder)
    return Demo(load_run(run_report.parent), capacity(asked), run_report, sweep_report, capacity_report)
