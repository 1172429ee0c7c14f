"""The sweep's notebook, executed in batch against a server that it starts itself."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest

from benchkit import load_sweep
from benchkit.errors import ParameterConflict
from benchkit.records.project import project_root
from benchkit.report import renderer
from benchkit.report.execute import execute, report_from_notebook

NOTEBOOK = project_root(Path(__file__).parent) / "notebooks" / "sweep.ipynb"
QUICK = {
    "rates": [10.0, 40.0],
    "concurrencies": [4],
    "warmup_s": 0.3,
    "duration_s": 1.5,
    "output_tokens": 8,
    "input_tokens": 32,
    "settle_s": 2.0,
    "slo": ["p50 ttft < 5s", "attainment(ttft < 5s) > 50%"],
    "price_per_hour": 3.6,
}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a small sweep."""
    out = tmp_path_factory.mktemp("sweeps")
    return report_from_notebook(str(NOTEBOOK), {**QUICK, "out": str(out)}, out)


@pytest.mark.slow
def test_the_notebook_leaves_a_sweep_and_shows_it(report: Path) -> None:
    """Every load is a run in the sweep's folder; the six charts are stored for every reader."""
    (folder,) = report.parent.glob("*/sweep.json")
    swept = load_sweep(folder.parent)
    assert swept.manifest["status"] == "complete"
    assert {point.load for point in swept.points} == {"poisson", "concurrent"}
    cells = {cell.id: cell for cell in nbformat.read(report.with_suffix(".ipynb"), as_version=4).cells}
    shown = {name: output for name, cell in cells.items() for output in cell.get("outputs", ())}
    for name in ("ttft", "latency", "itl", "throughput", "goodput", "pareto"):
        assert {renderer.MIME, "image/png", "text/plain"} <= set(shown[name]["data"])
    assert "cost:" in shown["outline"]["text"]
    assert "p50 ttft < 5s: held at every steady load" in shown["found"]["data"]["text/plain"]
    assert len(cells["run"].outputs) <= 1


@pytest.mark.slow
def test_the_report_is_whole_without_a_run(report: Path) -> None:
    """A sweep's page has its own title, tables and the way to run it again."""
    page = report.read_text("utf-8")
    assert "<title>Sweep a server</title>" in page
    for text in ("What it found", "p50 ttft &lt; 5s", "benchkit sweep -f again.yaml", "poisson\u00a040/s"):
        assert text in page, text
    assert str(Path.cwd()) not in page


@pytest.mark.slow
def test_a_parameter_of_single_runs_is_refused(tmp_path: Path) -> None:
    """`rate` is each load's own: the notebook says what to use, before anything is started."""
    with pytest.raises(ParameterConflict, match="use 'rates'"):
        execute(NOTEBOOK, tmp_path / "refused.ipynb", {"rate": 5.0})
