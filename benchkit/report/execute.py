"""Executes notebooks in batch by papermill, and makes reports of stored runs again without any load."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import nbformat

from benchkit import errors
from benchkit.errors import ParameterError, ReportError, RunNotFound
from benchkit.records.paths import scrub_paths, scrub_text
from benchkit.records.project import in_project, project_root
from benchkit.redaction import redact_values
from benchkit.report import notebook_file
from benchkit.report.html import run_of, sweep_of, to_html
from benchkit.report.run import STORED_RUN_VARIABLE
from benchkit.report.sweep import STORED_SWEEP_VARIABLE

_ANSI: Final = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_SOURCES: Final = Path(__file__).resolve().parents[2]


def notebook_path(name: str) -> Path:
    """The notebook of this name: the project's own, else the one that benchkit was installed with.

    Args:
        name: `run_benchmark`, say; a path to any notebook is given back as it is.

    Raises:
        ReportError: there is no such notebook.
    """
    if name.endswith(".ipynb"):
        wanted = Path(name).expanduser()
        if wanted.is_file():
            return wanted
        raise ReportError(f"there is no notebook {name}")
    places = [project_root() / "notebooks", _SOURCES / "notebooks", Path(__file__).parents[1] / "notebooks"]
    for place in places:
        if (place / f"{name}.ipynb").is_file():
            return place / f"{name}.ipynb"
    raise ReportError(f"there is no notebook {name!r} in notebooks/; give the path of an .ipynb file")


def execute(notebook: Path, output: Path, parameters: Mapping[str, Any], cwd: Path | None = None) -> Path:
    """Executes a notebook with parameters and gives the path of the executed copy.

    The copy holds no path of this machine in its metadata and outputs, and no parameter that may be a secret; it is
    signed, so that its author sees its tables at once when it is opened.

    Args:
        notebook: the notebook to execute.
        output: where the executed copy goes; it is written even when a cell fails.
        parameters: values for its parameters cell.
        cwd: working folder of its kernel; the project's root when None.

    Raises:
        ParameterError: a cell refused a parameter; the kind and the text are those of the cell's error.
        ReportError: any other cell failed, or the notebook could not be executed at all.
    """
    import papermill.execute
    from papermill.exceptions import PapermillException, PapermillExecutionError

    output.parent.mkdir(parents=True, exist_ok=True)
    values = {name: list(value) if isinstance(value, tuple) else value for name, value in parameters.items()}
    try:
        papermill.execute.execute_notebook(
            str(notebook),
            str(output),
            parameters=values,
            cwd=str(cwd or project_root()),
            progress_bar=False,
            log_output=False,
            # A kernel says on stderr that its sockets, on this machine only, are not encrypted.
            extra_arguments=["--IPKernelApp.log_level=40"],
        )
    except PapermillExecutionError as error:
        raise _failure(output, error.ename, error.evalue) from error
    except PapermillException as error:
        raise ReportError(f"{notebook.name} could not be executed: {error}") from error
    finally:
        if output.is_file():
            _clean(output)
    return output


def report_from_notebook(
    notebook: str | Path, parameters: Mapping[str, Any], out: str | Path | None = None
) -> Path:
    """Executes a notebook with parameters, makes its report, and gives the HTML's path.

    Args:
        notebook: a path, or the name of one of benchkit's own.
        parameters: values for its parameters cell.
        out: folder for the two files. By default they are `report.ipynb` and `report.html` in the folder of the run
            or sweep that the notebook made, and named after the notebook in `outputs/` when it made none.

    Raises:
        ParameterError: a cell refused a parameter.
        ReportError: any other cell failed; its executed copy stays where the error says.
    """
    source = notebook_path(str(notebook))
    place = Path(out) if out is not None else in_project(str(parameters.get("out", "outputs")))
    executed = execute(source, place / f"{source.stem}.ipynb", parameters)
    run = run_of(executed)
    made = run or sweep_of(executed)
    if made is None or out is not None:
        return to_html(executed, executed.with_suffix(".html"), run)
    return to_html(executed.replace(made / "report.ipynb"), made / "report.html", run)


def report_from_run(
    run_path: str | Path, out: str | Path | None = None, notebook: str = "run_benchmark"
) -> Path:
    """Makes `report.ipynb` and `report.html` of a stored run, without any load, and gives the HTML's path.

    Args:
        run_path: the run's folder.
        out: folder for the two files; the run's own when None.
        notebook: which notebook shows it.

    Raises:
        RunNotFound: no run lies there.
        ReportError: a cell of the notebook failed.
    """
    from benchkit.records.stored import load

    folder = Path(run_path).expanduser().resolve()
    run = load(folder)
    place = Path(out) if out is not None else folder
    with _environment(STORED_RUN_VARIABLE, str(folder)):
        executed = execute(notebook_path(notebook), place / "report.ipynb", run.manifest["parameters"])
    return to_html(executed, place / "report.html", folder)


def report_from_sweep(sweep_path: str | Path, out: str | Path | None = None) -> Path:
    """Makes `report.ipynb` and `report.html` of a stored sweep, without any load, and gives the HTML's path.

    Args:
        sweep_path: the sweep's folder.
        out: folder for the two files; the sweep's own when None.

    Raises:
        RunNotFound: no sweep lies there.
        ReportError: a cell of the notebook failed.
    """
    from benchkit.records import sweeps

    folder = Path(sweep_path).expanduser().resolve()
    asked = sweeps.read(folder)["parameters"]
    place = Path(out) if out is not None else folder
    with _environment(STORED_SWEEP_VARIABLE, str(folder)):
        executed = execute(notebook_path("sweep"), place / "report.ipynb", asked)
    return to_html(executed, place / "report.html")


def _failure(executed: Path, name: str, text: str) -> Exception:
    told = _ANSI.sub("", text)
    kind = getattr(errors, name, None)
    if isinstance(kind, type) and issubclass(kind, (ParameterError, RunNotFound)):
        return kind(told)
    return ReportError(f"a cell failed with {name}: {told}\nThe notebook until then: {executed}")


def _clean(path: Path) -> None:
    """Takes this machine's paths and the parameters that may be secrets out of an executed notebook."""
    content = notebook_file.read(path)
    _redact(content)
    for key, value in content.metadata.items():
        content.metadata[key] = scrub_paths(value)
    for cell in content.cells:
        for output in cell.get("outputs", ()):
            if "text" in output:
                output["text"] = scrub_text(output["text"])
            if "traceback" in output:
                output["traceback"] = [scrub_text(line) for line in output["traceback"]]
    notebook_file.write(content, path)


def _redact(content: nbformat.NotebookNode) -> None:
    """Writes the cell that papermill injected, and its own note of it, as a manifest has the parameters."""
    from papermill.translators import PythonTranslator

    told = content.metadata.get("papermill", {})
    given = told.get("parameters") or {}
    kept = redact_values(given)
    if kept == given:
        return
    told["parameters"] = kept
    for cell in content.cells:
        if "injected-parameters" in cell.metadata.get("tags", ()):
            cell.source = PythonTranslator.codify(kept)


@contextlib.contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    """The variable as a kernel that is started within sees it."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
