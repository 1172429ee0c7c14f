"""Executing notebooks in batch: errors for people, no paths of this machine."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from benchkit.errors import ReportError, RunNotFound, UnknownParameter
from benchkit.report.execute import execute, notebook_path, report_from_run

KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}


def _notebook(folder: Path, *sources: str) -> Path:
    cells = [new_code_cell("n = 1", metadata={"tags": ["parameters"]}), *map(new_code_cell, sources)]
    path = folder / "any.ipynb"
    nbformat.write(new_notebook(cells=cells, metadata=KERNEL), path)
    return path


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of its own, and a home in which Jupyter may leave its signatures."""
    (tmp_path / "pyproject.toml").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "jupyter"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    return tmp_path


@pytest.mark.slow
def test_parameters_reach_the_notebook_and_no_path_leaves_with_it(project: Path) -> None:
    """The executed copy shows the value, ran at the project's root, and names no folder of this machine."""
    source = _notebook(project, "import os\nprint(n, os.getcwd())")
    made = execute(source, project / "out" / "made.ipynb", {"n": 42})
    read = nbformat.read(made, as_version=4)
    assert read.cells[-1].outputs[0].text == "42 .\n"
    assert str(project) not in made.read_text("utf-8")
    assert read.metadata.papermill.input_path == "any.ipynb"
    assert nbformat.sign.NotebookNotary(data_dir=str(project / "jupyter")).check_signature(read)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("cell", "kind", "text"),
    [
        ("1 / 0", ReportError, "ZeroDivisionError: division by zero"),
        (
            "import benchkit.errors\nraise benchkit.errors.UnknownParameter('no such name')",
            UnknownParameter,
            "no such",
        ),
    ],
)
def test_a_cell_that_fails_is_told_in_its_own_words(
    project: Path, cell: str, kind: type[Exception], text: str
) -> None:
    """The error has the cell's text, and stays a refused parameter where it was one."""
    with pytest.raises(kind, match=text):
        execute(_notebook(project, cell), project / "made.ipynb", {})
    assert (project / "made.ipynb").is_file()


def test_what_does_not_exist_is_refused(project: Path) -> None:
    """No notebook, no run: each says so before anything is executed."""
    with pytest.raises(ReportError, match="no notebook"):
        notebook_path("nowhere.ipynb")
    with pytest.raises(ReportError, match="no notebook 'nowhere'"):
        notebook_path("nowhere")
    with pytest.raises(RunNotFound):
        report_from_run(project)


def test_the_projects_own_notebook_comes_first(project: Path) -> None:
    """A copy in `notebooks/` is used before the one that benchkit brings."""
    assert notebook_path("run_benchmark").is_file()
    own = project / "notebooks" / "run_benchmark.ipynb"
    own.parent.mkdir()
    own.touch()
    assert notebook_path("run_benchmark") == own
