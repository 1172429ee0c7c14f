"""What a form knows of parameters comes from the models alone."""

import json
import shlex

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field

from benchkit.parameters import (
    CapacityParameters,
    CompareParameters,
    RunParameters,
    ServingParameters,
    SweepParameters,
    exports,
    parse_assignments,
    resolve,
)
from benchkit.parameters.entry import as_entry, from_entry
from benchkit.parameters.fields import facts_of, sections_of
from benchkit.parameters.problems import problems

GROUPS = [RunParameters, ServingParameters, SweepParameters, CapacityParameters, CompareParameters]


@pytest.mark.parametrize("model", GROUPS)
def test_every_parameter_stands_in_one_section(model):
    """A form shows all parameters of a group, once, but for those that only its family takes."""
    names = [field.name for section in sections_of(model) for field in section.fields]
    assert sorted(names) == sorted(set(model.model_fields) - model.not_asked)
    assert [section.title for section in sections_of(model)] == list(model.sections.values())
    assert all(field.help for section in sections_of(model) for field in section.fields)


def test_a_new_parameter_needs_nothing_but_its_declaration():
    """A parameter that a model gains is in its form, in the section of the one above, with limits, unit and help."""

    class More(RunParameters):
        ramp_s: float = Field(2.5, gt=0, le=60, description="Seconds of ramp.")

    section = sections_of(More)[-1]
    assert section.fields[-1].name == "ramp_s"
    facts = facts_of("ramp_s", More.model_fields["ramp_s"])
    assert (facts.kind, facts.unit, facts.limits, facts.help) == (
        "number",
        "s",
        "above 0, at most 60",
        "Seconds of ramp.",
    )


@pytest.mark.parametrize("model", GROUPS)
def test_defaults_survive_the_form(model):
    """What is shown of a default, read again, is that default."""
    for name, field in model.model_fields.items():
        facts = facts_of(name, field)
        if facts.kind not in ("choice", "flag"):
            read = from_entry(as_entry(facts.default, facts), facts)
            assert (tuple(read) if isinstance(read, list) else read) == facts.default


@given(
    st.floats(0.01, 1e6),
    st.integers(1, 10**6),
    st.lists(st.sampled_from(["p99 ttft < 80ms", "error_rate < 1%"])),
)
@settings(max_examples=60)
def test_values_survive_the_form(rate, tokens, slo):
    """Any value, shown and read again, is the same value."""
    values = {
        "rate": rate,
        "input_tokens": tokens,
        "slo": tuple(slo),
        "extra_body": {"top_k": 5, "stop": ["a: b"]},
    }
    for name, value in values.items():
        facts = facts_of(name, RunParameters.model_fields[name])
        read = from_entry(as_entry(value, facts), facts)
        assert (tuple(read) if isinstance(read, list) else read) == value


def test_every_wrong_value_is_named_at_once():
    """All wrong fields are told, each with the model's own words; the gate tells the first."""
    found = problems({"rate": "fast", "duration_s": -1.0, "load": "poisson"}, RunParameters)
    assert set(found) == {"rate", "duration_s"}
    assert "'rate' must be a number, not 'fast' (text)" in found["rate"]
    assert "at least 0" in found["duration_s"]


def test_a_contradiction_stands_at_the_fields_that_it_names():
    """Values that are impossible together mark each parameter of the message."""
    found = problems({"rate": 4.0, "load": "concurrent"}, RunParameters)
    assert {"rate", "load"} <= set(found)
    assert problems({"slo": ["p99 ttft ≪ 3"]}, RunParameters).keys() == {"slo"}
    assert problems({"ratee": 1.0}, RunParameters).keys() == {"ratee"}
    assert problems({"rate": 4.0, "load": "poisson"}, RunParameters) == {}


PARAMETERS = resolve(
    {
        "load": "poisson",
        "rate": 7.5,
        "name": "42",
        "slo": ["p99 ttft < 80ms", "attainment(ttft < 200ms, tpot < 50ms) > 99%"],
        "extra_body": {"top_k": 5, "text": "it's"},
        "keep_text": True,
        "verify_tls": False,
    }
)


def test_the_file_gives_the_same_parameters():
    """The exported YAML, read as any file of parameters, gives what was exported."""
    text = exports.as_yaml(PARAMETERS, "to try")
    assert text.startswith("# Purpose:  to try\n# Notebook: notebooks/run_benchmark.ipynb\n")
    assert resolve(yaml.safe_load(text)) == PARAMETERS


def test_the_command_gives_the_same_parameters():
    """What a shell makes of the exported line, read as the command reads it, gives what was exported."""
    words = shlex.split(exports.as_command(PARAMETERS).replace("\\\n", " "))
    assert words[:2] == ["benchkit", "run"]
    pairs = [(words[i + 1], words[i + 2]) for i in range(2, len(words), 3)]
    assert resolve(parse_assignments(pairs)) == PARAMETERS


def test_the_papermill_line_gives_the_same_parameters():
    """papermill's own reading of the exported line gives what was exported; a text that looks like a number is raw."""
    from papermill.cli import _resolve_type

    words = shlex.split(exports.as_papermill(PARAMETERS).replace("\\\n", " "))
    assert words[0] == "papermill"
    values = {}
    for i in range(3, len(words), 3):
        kind, name, value = words[i : i + 3]
        values[name] = value if kind == "-r" else _resolve_type(value)
    assert values["name"] == "42"
    assert resolve(values) == PARAMETERS


def test_the_cell_gives_the_same_parameters():
    """The exported call, with a function in the place of the real one, is called with what was exported."""
    cell = exports.as_cell(PARAMETERS)
    assert cell.startswith("import benchkit\n")
    call = cell.split("\n\n", 1)[1].removeprefix("run = await benchkit.run_async").removesuffix("\nrun")
    assert resolve(eval(f"dict{call}")) == PARAMETERS
    served = exports.as_cell(resolve({"server_args": {"max_num_seqs": 8}}, ServingParameters))
    assert "serving.start(server_args={'max_num_seqs': 8})" in served
    asked = exports.as_cell(resolve({"target_rps": 4.0}, CapacityParameters))
    assert "capacity(dict(target_rps=4.0))" in asked


def test_defaults_make_the_shortest_line():
    """Nothing is told that need not be."""
    assert exports.as_command(resolve({})) == "benchkit run"
    assert json.dumps(exports.given(resolve({}))) == "{}"
