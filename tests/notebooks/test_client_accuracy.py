"""The notebook that shows a client's map, from a stored map to the report: no load is sent."""

from __future__ import annotations

import base64
from pathlib import Path

import nbformat
import pytest

from benchkit.analysis.client_error import Spread
from benchkit.analysis.client_map import Cell, ClientMap
from benchkit.errors import InvalidParameter, RunNotFound
from benchkit.experiments import selftest_store
from benchkit.records.project import project_root
from benchkit.report import renderer
from benchkit.report.execute import execute, report_from_notebook

NOTEBOOK = project_root(Path(__file__).parent) / "notebooks" / "client_accuracy.ipynb"
CPU = "A processor <b>by name</b>"


def _cell(kind: str, rate: float, streams: int, p99: float) -> Cell:
    spread = Spread(5000, p99 / 3, p99, 0.9 * p99, 1.1 * p99, 4 * p99)
    loop = Spread(5000, p99, 3 * p99, None, None, 9 * p99)
    events, requests = (rate, rate / 200) if kind == "streams" else (4 * rate, rate)
    return Cell(
        "streams" if kind == "streams" else "requests",
        *(streams, rate, events, requests, spread, loop),
        spread if kind == "requests" else None,
        *(spread, 0.0),
    )


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a map: 100 streams hold less than 10."""
    place = tmp_path_factory.mktemp("outputs")
    rates = (2000.0, 8000.0, 32000.0)
    cells = [
        _cell("streams", rate, streams, (rate / at) ** 2)
        for streams, at in ((10, 20_000), (100, 10_000))
        for rate in rates
    ]
    cells += [_cell("requests", rate, 20, rate / 900) for rate in (100.0, 1000.0)]
    facts = {"cpu_model": CPU, "cpu_count": 2, "client_packages": {"uvloop": "0.1"}}
    found = ClientMap("2026-01-01T00:00:00+00:00", 1, "evenly", 200, 41.0, 3.0, facts, tuple(cells))
    selftest_store.keep(found, str(place))
    return place


@pytest.mark.slow
def test_the_report_answers_and_draws(outputs: Path) -> None:
    """It says what the client holds and on which machine, draws every chart, and escapes what the machine says."""
    html = report_from_notebook(NOTEBOOK, {"stored": "latest", "out": str(outputs)}, outputs)
    page = html.read_text(encoding="utf-8")
    assert "10 streams of 20,000 tokens/s" in page
    assert "100 streams of 10,000 tokens/s" in page
    assert "900 requests/s" in page
    assert "A processor &lt;b&gt;by name&lt;/b&gt;" in page
    assert CPU not in page
    executed = nbformat.read(outputs / "client_accuracy.ipynb", as_version=4)
    drawn = [
        output.data
        for cell in executed.cells
        for output in cell.get("outputs", ())
        if renderer.MIME in output.get("data", {})
    ]
    assert len(drawn) == 4
    for chart in drawn:
        assert base64.b64decode(chart["image/png"]).startswith(b"\x89PNG")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("values", "error"),
    [({"streams": [100, 10]}, InvalidParameter), ({"stored": "latest", "out": "nowhere"}, RunNotFound)],
)
def test_it_stops_at_once_with_the_reason(
    tmp_path: Path, values: dict[str, object], error: type[Exception]
) -> None:
    """Loads in a wrong order, or a map that is not there, end it before any load."""
    with pytest.raises(error):
        execute(NOTEBOOK, tmp_path / "refused.ipynb", values)
