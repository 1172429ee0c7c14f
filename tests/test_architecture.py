"""The house rules that a machine can check."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import benchkit

ROOT = Path(__file__).parents[1]
MODULES = sorted((ROOT / "benchkit").rglob("*.py"))


def test_the_public_names_are_just_those():
    """From Python, the kit is what runs, sweeps and compares, and what these give."""
    assert sorted(benchkit.__all__) == [
        "Comparison",
        "Run",
        "Sweep",
        "__version__",
        "compare",
        "load_run",
        "load_sweep",
        "run",
        "run_async",
        "sweep",
        "sweep_async",
    ]
    public = {name for name in dir(benchkit.Run) if not name.startswith("_")}
    assert public == {"path", "manifest", "summary", "requests", "chunks", "verdict", "report"}
    for name in benchkit.__all__:
        assert getattr(benchkit, name) is not None
    for name in ("run", "run_async", "load_run"):
        assert getattr(benchkit, name).__doc__


def test_rooms_import_only_rooms_below_them():
    """import-linter keeps its contract."""
    done = subprocess.run(
        [Path(sys.executable).parent / "lint-imports"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_httpx_stays_in_its_places():
    """httpx is imported in http.py and in the load's two transports only."""
    places = {str(path.relative_to(ROOT / "benchkit")) for path in MODULES if "httpx" in _imports(path)}
    assert places <= {"http.py", "load/transport.py", "load/stock.py"}


@pytest.mark.parametrize("module", ["worker", "feed"])
def test_load_processes_start_light(module):
    """A worker and a feed import nothing of the analysis, and start in well under half a second of CPU."""
    code = (
        "import sys, time, json\n"
        f"import benchkit.load.{module}\n"
        + ("import benchkit.plan.plan\n" if module == "feed" else "")
        + "print(json.dumps([time.process_time(), sorted(sys.modules)]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    seconds, names = json.loads(done.stdout)
    assert not {"pandas", "scipy", "IPython", "altair", "ipywidgets", "pyarrow", "pydantic", "httpx"} & set(
        names
    )
    assert seconds < 0.5


def test_modules_are_of_a_size_to_read():
    """No module has more than 400 lines."""
    long = {
        str(path.relative_to(ROOT)): count
        for path in MODULES
        if (count := len(path.read_text().splitlines())) > 400
    }
    assert long == {}


def test_every_module_says_its_job():
    """Each module begins with a docstring."""
    silent = [str(path) for path in MODULES if not ast.get_docstring(ast.parse(path.read_text()))]
    assert silent == []


def _imports(path):
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found
