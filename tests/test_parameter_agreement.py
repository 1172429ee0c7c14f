"""Notebooks' parameters cells, params files and the model say the same."""

import ast
import json
import re
import typing
from pathlib import Path

import nbformat
import pytest
from papermill.inspection import inspect_notebook

from benchkit.parameters import (
    AbParameters,
    CapacityParameters,
    CompareParameters,
    RunParameters,
    SelftestParameters,
    ServingParameters,
    SweepParameters,
    load_file,
    resolve,
)

ROOT = Path(__file__).parent.parent
MODELS = {
    "serve_model": ServingParameters,
    "run_benchmark": RunParameters,
    "sweep": SweepParameters,
    "capacity_analysis": CapacityParameters,
    "compare_runs": CompareParameters,
    "client_accuracy": SelftestParameters,
}
COMMANDS = {"ab": AbParameters}
"""What has no notebook."""
FILES = sorted((ROOT / "params").glob("*.yaml"))


def _cell(notebook):
    """Source of the one cell that is tagged ``parameters``."""
    cells = nbformat.read(ROOT / "notebooks" / f"{notebook}.ipynb", as_version=4).cells
    (cell,) = [c for c in cells if "parameters" in c.metadata.get("tags", [])]
    return cell.source


def _type_name(annotation):
    """The annotation that papermill understands for a field's type."""
    plain = typing.get_origin(annotation) or annotation
    if plain is typing.Literal:
        return "str"
    return {str: "str", int: "int", float: "float", bool: "bool", dict: "dict", tuple: "list"}[plain]


def _notebook_of(file):
    """The notebook that a params file names in its comment block; None where it names a command."""
    found = re.search(r"^# Notebook: +notebooks/(\w+)\.ipynb$", file.read_text(), re.MULTILINE)
    return found and found[1]


def _model_of(file):
    """What a params file is for."""
    command = re.search(r"^# Command: +benchkit (\w+)$", file.read_text(), re.MULTILINE)
    return COMMANDS[command[1]] if command else MODELS[_notebook_of(file)]


@pytest.mark.parametrize("notebook", MODELS)
def test_cell_agrees_with_the_model(notebook):
    """A parameters cell assigns every name of its model once, with the model's default and type."""
    model = MODELS[notebook]
    assigned = {}
    for statement in ast.parse(_cell(notebook)).body:
        assert isinstance(statement, ast.Assign | ast.AnnAssign), ast.unparse(statement)
        target = statement.targets[0] if isinstance(statement, ast.Assign) else statement.target
        assert target.id not in assigned
        assigned[target.id] = ast.literal_eval(statement.value)
        if isinstance(statement, ast.AnnAssign):
            expected = _type_name(model.model_fields[target.id].annotation)
            assert ast.unparse(statement.annotation) == expected, target.id
    assert sorted(assigned) == sorted(model.model_fields)
    assert resolve(assigned, model) == resolve({}, model)
    for name, value in assigned.items():
        expected = _type_name(model.model_fields[name].annotation)
        given = type(value).__name__
        assert given == expected or (given, expected) == ("int", "float"), name


@pytest.mark.parametrize("notebook", MODELS)
def test_cell_is_read_by_papermill(notebook):
    """Papermill's own line-by-line reader finds every parameter of the cell, with its default."""
    found = inspect_notebook(str(ROOT / "notebooks" / f"{notebook}.ipynb"))
    model = MODELS[notebook]
    assert set(found) == set(model.model_fields)
    values = {name: ast.literal_eval(entry["default"].split("  #")[0]) for name, entry in found.items()}
    assert resolve(values, model) == resolve({}, model)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_params_file_resolves(file):
    """A params file holds only names of its notebook's or command's model, with values that make sense together."""
    values = load_file(file)
    resolved = resolve(values, _model_of(file))
    assert json.loads(json.dumps(resolved.model_dump(mode="json", include=set(values)))) == values


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_params_file_says_what_it_is_for(file):
    """A params file begins with a comment block: purpose, notebook or command, hardware."""
    block = re.match(r"(?:#.*\n)+", file.read_text())[0]
    keys = re.findall(r"^# (\w+): +\S", block, re.MULTILINE)
    assert keys in (["Purpose", "Notebook", "Hardware"], ["Purpose", "Command", "Hardware"])


def test_every_load_has_a_use():
    """The files show each kind of load that differs in what it answers, and each backend."""
    runs = {load_file(f)["load"] for f in FILES if _notebook_of(f) == "run_benchmark"}
    assert runs >= {"synchronous", "concurrent", "throughput", "poisson", "gamma"}
    assert {load_file(f)["backend"] for f in FILES if _notebook_of(f) == "serve_model"} == {
        "simulated",
        "vllm",
    }


def test_article_run():
    """The article's run: 100 prompts, 1024 in, 512 out, all at once, no warm-up, until the last answer."""
    p = resolve(load_file(ROOT / "params" / "article_vllm_bench.yaml"))
    assert (p.load, p.requests, p.input_tokens, p.output_tokens) == ("throughput", 100, 1024, 512)
    assert (p.warmup_s, p.duration_s) == (0, 0)
    assert p.streams >= p.requests


def test_article_capacity():
    """The article's question: its table, p99 TTFT below 80 ms, 50 requests/s, nothing spare."""
    p = resolve(load_file(ROOT / "params" / "article_capacity.yaml"), CapacityParameters)
    assert (p.sources, p.slo, p.target_rps) == (("params/article_sweep.csv",), ("p99 ttft < 80ms",), 50)
    assert (p.headroom, p.spare, p.zones) == (0, 0, 1)
