"""The main job from end to end on the embedded server: serve, measure, report, all through the notebooks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from benchkit.errors import ReportError
from benchkit.parameters.sources import load_file
from benchkit.records.project import in_project
from benchkit.report.execute import execute, notebook_path, report_from_notebook
from benchkit.report.run import Run, load_run
from benchkit.serving.process import find_server, free_port, stop


class Demo(NamedTuple):
    """What the demonstration leaves."""

    run: Run
    report: Path


def demo(say: Callable[[str], None]) -> Demo:
    """Executes `serve_model` and `run_benchmark` through papermill with `params/demo_*.yaml`.

    Args:
        say: told each step in a sentence.

    Raises:
        ReportError: the parameter files are not there (benchkit was installed without its project), or a cell failed.
    """
    serve, measure = (in_project(f"params/demo_{name}.yaml") for name in ("serve", "run"))
    if not serve.is_file() or not measure.is_file():
        raise ReportError(
            f"{serve.parent} has no demo_serve.yaml and demo_run.yaml: run this in a checkout of benchkit"
        )
    port = free_port()
    folder = in_project("outputs/demo")
    say(f"notebooks/serve_model.ipynb with {serve.name}: starting the embedded server on port {port}")
    execute(notebook_path("serve_model"), folder / "serve_model.ipynb", {**load_file(serve), "port": port})
    server = find_server(port)
    try:
        values = {**load_file(measure), "url": server.url}
        seconds = values.get("warmup_s", 3) + values.get("duration_s", 30)
        say(f"notebooks/run_benchmark.ipynb with {measure.name}: {seconds:g} s of load, then the report")
        report = report_from_notebook("run_benchmark", values)
    finally:
        stop(port)
    return Demo(load_run(report.parent), report)
