"""The notebooks: clean in the repository, the same in batch, and whole from the server to the report."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from papermill.inspection import inspect_notebook

from benchkit import load_run
from benchkit.errors import InvalidParameter, ServerNotFound, UnknownParameter
from benchkit.records.project import project_root
from benchkit.report import renderer
from benchkit.report.execute import execute, report_from_notebook, report_from_run
from benchkit.report.section import RUN_MIME
from benchkit.serving.process import find_server, stop

NOTEBOOKS = project_root(Path(__file__).parent) / "notebooks"
NAMES = sorted(path.name for path in NOTEBOOKS.glob("*.ipynb"))
QUICK = {"warmup_s": 0.3, "duration_s": 1.5, "output_tokens": 8, "input_tokens": 32, "concurrency": 4}


@pytest.fixture(params=NAMES)
def notebook(request: pytest.FixtureRequest) -> nbformat.NotebookNode:
    """Each notebook of the project."""
    return nbformat.read(NOTEBOOKS / request.param, as_version=nbformat.NO_CONVERT)


def _code(notebook: nbformat.NotebookNode) -> Iterator[str]:
    return (cell.source for cell in notebook.cells if cell.cell_type == "code")


def test_a_notebook_is_stored_clean(notebook: nbformat.NotebookNode) -> None:
    """Format 4.5 with ids, a kernel that papermill knows, no outputs and no counts."""
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert notebook.metadata.kernelspec.language == "python"
    assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None


def test_a_notebook_only_calls(notebook: nbformat.NotebookNode) -> None:
    """It defines nothing, and no cell is longer than a glance."""
    for source in _code(notebook):
        assert not re.search(r"^\s*(def|class|async def|lambda)\b", source, re.MULTILINE)
    for cell in notebook.cells:
        if cell.cell_type == "code" and "parameters" not in cell.metadata.get("tags", []):
            assert len(cell.source.splitlines()) <= 8


def test_a_notebook_names_no_place_of_a_machine(notebook: nbformat.NotebookNode) -> None:
    """No absolute path, no home."""
    assert not re.search(r"(?<![\w.:/])/(?:home|root|tmp|usr|opt|work|mnt|Users)\b", json.dumps(notebook))


def test_prose_comes_before_each_call(notebook: nbformat.NotebookNode) -> None:
    """It begins with a title, and no more than two cells of code follow each other."""
    assert notebook.cells[0].source.startswith("# ")
    kinds = "".join(cell.cell_type[0] for cell in notebook.cells)
    assert "ccc" not in kinds


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"cockpit.ipynb"}))
def test_the_parameters_cell_is_read_by_papermill(name: str) -> None:
    """One assignment a line, with a type and a sentence that papermill's help shows."""
    cells = nbformat.read(NOTEBOOKS / name, as_version=nbformat.NO_CONVERT).cells
    (cell,) = [cell for cell in cells if "parameters" in cell.metadata.get("tags", [])]
    lines = [line for line in cell.source.splitlines() if line]
    for line in lines:
        assert line.count("=") == 1
        assert re.fullmatch(r"\w+: (str|int|float|bool|list|dict) = .*\S  # .*\.", line)
    found = inspect_notebook(str(NOTEBOOKS / name))
    assert list(found) == [line.split(":")[0] for line in lines]
    assert all(each["help"] for each in found.values())


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where runs and executed notebooks go."""
    return tmp_path_factory.mktemp("outputs")


@pytest.fixture(scope="module")
def served(outputs: Path) -> Iterator[str]:
    """The address of a server that `serve_model` has left behind, detached."""
    asked = {"detached": True, "stop_after_s": 300, "server_args": {"ttft_ms": 10, "gap_ms": 2}}
    made = execute(NOTEBOOKS / "serve_model.ipynb", outputs / "serve.ipynb", asked, cwd=NOTEBOOKS)
    url = re.search(r"It serves at (http://127\.0\.0\.1:\d+)", _texts(made))
    assert url, _texts(made)
    yield url[1]
    stop(int(url[1].rsplit(":", 1)[1]))


@pytest.fixture(scope="module")
def report(served: str, outputs: Path) -> Path:
    """The report of `run_benchmark` against that server."""
    asked = {**QUICK, "url": served, "out": str(outputs), "slo": ["p50 ttft < 5s"], "name": "notebook"}
    return report_from_notebook("run_benchmark", asked)


def _outputs(path: Path) -> Iterator[dict[str, object]]:
    for cell in nbformat.read(path, as_version=4).cells:
        yield from cell.get("outputs", ())


def _texts(path: Path) -> str:
    return "\n".join(
        str(output.get("text") or output.get("data", {}).get("text/plain", "")) for output in _outputs(path)
    )


@pytest.mark.slow
def test_serve_model_shows_start_answer_and_address(served: str, outputs: Path) -> None:
    """The executed notebook tells the stages of the start, one answer, and how to measure and stop."""
    told = _texts(outputs / "serve.ipynb")
    for text in ("time to first token, cold", "tokens in", f"benchkit run -p url {served}", "benchkit stop"):
        assert text in told


@pytest.mark.slow
def test_run_benchmark_leaves_a_run_and_its_report(report: Path, served: str) -> None:
    """Beside the records lie the executed notebook and the page; every chart is stored for every reader."""
    run = load_run(report.parent)
    assert run.manifest["status"] == "complete"
    assert run.manifest["server"]["url"] == served
    assert run.summary["requests"]["ok"] > 50
    executed = report.parent / "report.ipynb"
    bundles = [output["data"] for output in _outputs(executed) if renderer.MIME in output.get("data", {})]
    assert len(bundles) == 9
    assert all({"image/png", "text/plain"} <= set(bundle) and "text/html" not in bundle for bundle in bundles)
    assert [output for output in _outputs(executed) if RUN_MIME in output.get("data", {})]
    assert "Serving Benchmark Result" in _texts(executed)
    assert "p50 ttft &lt; 5s" in report.read_text("utf-8")
    assert executed.stat().st_size < 2_000_000
    assert str(Path.cwd()) not in executed.read_text("utf-8")


@pytest.mark.slow
def test_progress_is_saved_in_its_last_state_only(report: Path) -> None:
    """The live display leaves one output, not one for each step."""
    shown = [
        output
        for output in _outputs(report.parent / "report.ipynb")
        if "answered" in str(output.get("data", {}).get("text/plain", ""))
        or "computing" in str(output.get("data", {}).get("text/plain", ""))
    ]
    assert len(shown) <= 1
    assert not [
        output for output in _outputs(report.parent / "report.ipynb") if output.get("name") == "stderr"
    ]


@pytest.mark.slow
def test_a_report_is_made_again_without_load(report: Path, tmp_path: Path) -> None:
    """From the records alone, with the server's address unreachable, the page says the same."""
    again = report_from_run(report.parent, tmp_path)
    assert again == tmp_path / "report.html"
    one, other = (re.findall(r'class="bk-big">([^<]*)<', path.read_text("utf-8")) for path in (report, again))
    assert one == other
    assert len(one) == 6


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "values", "kind", "text"),
    [
        ("run_benchmark", {"rate": "abc"}, InvalidParameter, "rate"),
        ("serve_model", {"bakend": "vllm"}, UnknownParameter, "did you mean 'backend'"),
    ],
)
def test_a_wrong_parameter_stops_a_notebook_at_once(
    outputs: Path, name: str, values: dict[str, str], kind: type[Exception], text: str
) -> None:
    """What papermill lets through, the first cell refuses, with the parameter's own error."""
    with pytest.raises(kind, match=text):
        execute(NOTEBOOKS / f"{name}.ipynb", outputs / "refused.ipynb", values)


@pytest.mark.slow
def test_an_owned_server_ends_with_its_notebook(outputs: Path) -> None:
    """Without `detached`, nothing serves once papermill is done."""
    made = execute(NOTEBOOKS / "serve_model.ipynb", outputs / "owned.ipynb", {})
    url = re.search(r"It serves at http://127\.0\.0\.1:(\d+)", _texts(made))
    assert url
    with pytest.raises(ServerNotFound):
        find_server(int(url[1]))
