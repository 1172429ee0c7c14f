"""The vocabulary: what is accepted, what is refused, and what the refusal says."""

import json
import typing
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from papermill.cli import _resolve_type

from benchkit.errors import (
    InvalidParameter,
    ObjectiveSyntaxError,
    ParameterConflict,
    ParameterError,
    UnknownParameter,
)
from benchkit.parameters import (
    RunParameters,
    ServingParameters,
    canonical_json,
    context_needed,
    load_file,
    parameters_hash,
    parse_assignments,
    resolve,
)
from benchkit.plan.lengths import bounds

DESIGNED = {
    "url": "", "model": "", "endpoint": "chat", "api_key_env": "", "headers": {}, "extra_body": {},
    "timeout_s": 600, "verify_tls": True, "connections": "reuse",
    "load": "concurrent", "concurrency": 8, "rate": 1.0, "burstiness": 1.0, "max_in_flight": 0,
    "warmup_s": 3, "duration_s": 30, "requests": 0, "drain_s": 60, "max_error_rate": 0.5, "repeats": 1,
    "dataset": "synthetic", "prompt_form": "text", "input_tokens": 512, "output_tokens": 256,
    "input_tokens_spread": 0.0, "output_tokens_spread": 0.0, "prefix_tokens": 0, "ignore_eos": True,
    "temperature": 0.0, "tokenizer": "", "seed": 0,
    "slo": (),
    "out": "outputs", "name": "", "workers": 0, "transport": "stamped", "keep_text": False,
}  # fmt: skip


def test_defaults_of_a_run():
    """A run has the names and defaults of the design, no more and no fewer."""
    assert resolve({}).model_dump() == DESIGNED


def test_defaults_of_a_server():
    """A server has the names and defaults of the design, no more and no fewer."""
    assert resolve({}, ServingParameters).model_dump() == {
        "backend": "simulated",
        "served_model": "",
        "preset": "fixed",
        "port": 0,
        "server_args": {},
        "detached": False,
        "stop_after_s": 0.0,
        "twin": "",
    }


@pytest.mark.parametrize("model", [RunParameters, ServingParameters])
def test_each_parameter_is_described(model):
    """Each parameter is described in one sentence."""
    for name, field in model.model_fields.items():
        assert field.description, name
        assert field.description.endswith("."), name


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("reqest_rate", "rate"),
        ("request_rate", "rate"),
        ("max-concurrency", "concurrency"),
        ("num_prompts", "requests"),
        ("ouput_tokens", "output_tokens"),
        ("Rate", "rate"),
        ("base_url", "url"),
        ("tempertaure", "temperature"),
    ],
)
def test_unknown_name_offers_the_nearest(name, nearest):
    """An unknown name is refused with the nearest valid one, other tools' words included."""
    with pytest.raises(UnknownParameter) as caught:
        resolve({name: 8})
    assert str(caught.value) == (f"{name!r} is not a parameter of run_benchmark; did you mean {nearest!r}?")


def test_unknown_name_without_a_near_one_lists_all():
    """A name that resembles nothing is refused with all valid ones."""
    with pytest.raises(UnknownParameter, match="it has: url, model, "):
        resolve({"zzzz": 1})


def test_name_of_the_other_group():
    """A serving parameter given to a run is refused with a word on whose it is."""
    with pytest.raises(
        UnknownParameter, match="'preset' is not a parameter of run_benchmark; it belongs to serve_model"
    ):
        resolve({"preset": "simple"})


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"rate": "abc"}, "'rate' must be a number, not 'abc' (text)"),
        ({"rate": True}, "'rate' must be a number, not True (true or false)"),
        ({"rate": 0}, "'rate' must be above 0, not 0"),
        ({"rate": float("nan")}, "'rate' must be a finite number"),
        ({"concurrency": "8"}, "'concurrency' must be a whole number, not '8' (text)"),
        ({"concurrency": 8.0}, "'concurrency' must be a whole number, not 8.0 (a number)"),
        ({"concurrency": True}, "'concurrency' must be a whole number, not True"),
        ({"concurrency": 0}, "'concurrency' must be at least 1"),
        ({"verify_tls": 1}, "'verify_tls' must be true or false, not 1"),
        ({"model": 7}, "'model' must be text, not 7 (a whole number)"),
        ({"load": "poison"}, "did you mean 'poisson'?"),
        ({"max_in_flight": -1}, "'max_in_flight' must be at least 0"),
        ({"input_tokens_spread": 1}, "'input_tokens_spread' must be below 1"),
        ({"output_tokens_spread": -0.1}, "'output_tokens_spread' must be at least 0"),
        ({"max_error_rate": 1.5}, "'max_error_rate' must be at most 1"),
        ({"url": "127.0.0.1:8000"}, "'url' must be an address such as 'http://127.0.0.1:8000'"),
        ({"url": "ftp://host"}, "'url' must be an address"),
        ({"headers": {"a": 1}}, "'headers'['a'] must be text"),
        ({"slo": [3]}, "'slo'[0] must be text, not 3"),
        ({"slo": None}, "'slo' must be a list of texts"),
        ({"timeout_s": None}, "'timeout_s' must be a number"),
        ({"name": "../up"}, "'name' must be up to 80 letters"),
        ({"name": ".hidden"}, "'name' must be"),
        ({"out": ""}, "'out' must be text that is not empty"),
    ],
)
def test_invalid_value(values, said):
    """A wrong type or a value out of its limits is refused, with what it must be."""
    with pytest.raises(InvalidParameter) as caught:
        resolve({"load": "poisson"} | values)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "values",
    [
        {"api_key_env": "sk-very-secret"},
        {"headers": {"authorization": ["very-secret"]}},
        {"headers": "very-secret"},
        {"url": "user:very-secret@host"},
        {"extra_body": "very-secret"},
    ],
)
def test_errors_do_not_repeat_secrets(values):
    """The message about a value that may be a secret does not hold the value."""
    with pytest.raises(InvalidParameter) as caught:
        resolve(values)
    assert "very-secret" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    ("values", "parameter"),
    [
        ({"rate": 8}, "rate"),
        ({"rate": 8, "load": "synchronous"}, "rate"),
        ({"rate": 8, "load": "throughput"}, "rate"),
        ({"load": "poisson", "burstiness": 2.0}, "burstiness"),
        ({"burstiness": 2.0}, "burstiness"),
        ({"load": "poisson", "concurrency": 4}, "concurrency"),
        ({"load": "synchronous", "concurrency": 4}, "concurrency"),
        ({"load": "throughput", "concurrency": 4}, "concurrency"),
        ({"max_in_flight": 4}, "max_in_flight"),
        ({"duration_s": 0}, "duration_s"),
        ({"prompt_form": "token_ids"}, "prompt_form"),
        ({"prefix_tokens": 513}, "prefix_tokens"),
        ({"prefix_tokens": 300, "input_tokens_spread": 0.5}, "prefix_tokens"),
        ({"extra_body": {"stream": False}}, "extra_body"),
        ({"extra_body": {"max_tokens": 3}}, "extra_body"),
        ({"load": "poisson", "rate": 1e6, "duration_s": 3600}, "rate"),
    ],
)
def test_impossible_combination(values, parameter):
    """Values that exclude each other are refused, named, and met with a remedy."""
    with pytest.raises(ParameterConflict) as caught:
        resolve(values)
    assert str(caught.value).startswith(f"'{parameter}'")
    assert any(word in str(caught.value) for word in ("leave", "set", "lower", "choose", "use"))


@pytest.mark.parametrize(
    ("values", "parameter"),
    [
        ({"backend": "vllm"}, "backend"),
        ({"backend": "vllm", "served_model": "m", "preset": "simple"}, "preset"),
        ({"served_model": "tiny-random"}, "served_model"),
    ],
)
def test_impossible_server(values, parameter):
    """A server that cannot be is refused."""
    with pytest.raises(ParameterConflict, match=f"^'{parameter}'"):
        resolve(values, ServingParameters)


@pytest.mark.parametrize(
    "values",
    [
        {"rate": 8, "load": "poisson"},
        {"rate": 8, "load": "gamma", "burstiness": 0.5},
        {"load": "constant", "max_in_flight": 100},
        {"load": "throughput", "max_in_flight": 64},
        {"duration_s": 0, "requests": 5},
        {"prompt_form": "token_ids", "endpoint": "completions"},
        {"prefix_tokens": 512},
        {"url": "https://host/v1"},
        {"extra_body": {"top_p": 0.9}},
    ],
)
def test_possible_combination(values):
    """Values that go together are taken."""
    assert resolve(values).model_dump(include=set(values)) == values


def test_defaults_spelt_out_conflict_with_nothing():
    """A value equal to its default is no wish: a parameters cell that assigns all names takes any load."""
    for load in ("concurrent", "synchronous", "throughput", "constant", "poisson", "gamma"):
        assert resolve(DESIGNED | {"load": load}).load == load


def test_one_error_at_a_time():
    """Of several mistakes one is told, in the vocabulary's order, an unknown name before all others."""
    with pytest.raises(InvalidParameter, match=r"^'concurrency'"):
        resolve({"rate": "x", "concurrency": "y"})
    with pytest.raises(UnknownParameter, match=r"^'rats'"):
        resolve({"rate": "x", "rats": 1})


def test_objectives():
    """Objectives may be a list, one text, or a list in YAML as papermill's -p gives it; each must parse."""
    one, two = "p99 ttft < 80ms", "error_rate < 1%"
    assert resolve({"slo": [one, two]}).slo == (one, two)
    assert resolve({"slo": one}).slo == (one,)
    assert resolve({"slo": f'["{one}", "{two}"]'}).slo == (one, two)
    assert resolve({"slo": ""}).slo == ()
    with pytest.raises(ObjectiveSyntaxError, match="did you mean 'ttft'"):
        resolve({"slo": [one, "p99 tttf < 80ms"]})


def test_mappings_in_text():
    """A mapping may come as YAML in a text, as papermill's -p gives it."""
    assert resolve({"headers": '{"x-team": "a"}'}).headers == {"x-team": "a"}
    assert resolve({"extra_body": "{top_k: 5}"}).extra_body == {"top_k": 5}
    assert resolve({"server_args": "{max_num_seqs: 4}"}, ServingParameters).server_args == {"max_num_seqs": 4}


def test_parameters_are_frozen():
    """Resolved parameters do not change."""
    with pytest.raises(ValueError, match="frozen"):
        resolve({}).rate = 2.0


@pytest.mark.parametrize(
    ("values", "streams"),
    [
        ({}, 8),
        ({"concurrency": 3}, 3),
        ({"load": "synchronous"}, 1),
        ({"load": "throughput"}, 512),
        ({"load": "throughput", "max_in_flight": 64}, 64),
    ],
)
def test_streams_of_closed_loops(values, streams):
    """A closed loop's streams follow from its kind and cap."""
    assert resolve(values).streams == streams
    assert not resolve(values).is_open_loop


@given(
    input_tokens=st.integers(1, 10**6),
    output_tokens=st.integers(1, 10**6),
    spreads=st.tuples(*[st.floats(0, 1, exclude_max=True)] * 2),
)
@settings(deadline=None)
def test_context_needed_is_the_longest_of_the_plan(input_tokens, output_tokens, spreads):
    """The context that a run needs is the plan's longest prompt and longest answer together."""
    p = resolve(
        {
            "input_tokens": input_tokens,
            "output_tokens": output_tokens,
            "input_tokens_spread": spreads[0],
            "output_tokens_spread": spreads[1],
        }
    )
    assert context_needed(p) == bounds(input_tokens, spreads[0])[1] + bounds(output_tokens, spreads[1])[1]


def test_manifest_round_trip():
    """What a manifest holds resolves to the same parameters again."""
    p = resolve(
        {"load": "gamma", "rate": 3, "burstiness": 2, "slo": ["p99 ttft < 1s"], "extra_body": {"a": [1, {}]}}
    )
    stored = json.loads(json.dumps(p.model_dump(mode="json")))
    assert resolve(stored) == p
    assert parameters_hash(resolve(stored)) == parameters_hash(p)


def test_hash_depends_on_values_alone():
    """Equal parameters have equal hashes, however they were written; different ones differ."""
    assert parameters_hash(resolve({"duration_s": 30})) == parameters_hash(resolve({}))
    assert parameters_hash(resolve({"duration_s": 31})) != parameters_hash(resolve({}))
    assert canonical_json(resolve({"warmup_s": 4})) == canonical_json(resolve({"warmup_s": 4.0}))


def test_canonical_text_has_no_secrets():
    """Header values, user-info and query of the address stay out of the canonical text and so of the hash."""
    values = {"headers": {"authorization": "Bearer s3cret"}, "url": "https://me:s3cret@host:8/v1?key=s3cret"}
    text = canonical_json(resolve(values))
    assert "s3cret" not in text
    assert json.loads(text)["headers"] == {"authorization": "<redacted>"}
    assert json.loads(text)["url"] == "https://<redacted>@host:8/v1?<redacted>"


@pytest.mark.parametrize(
    "value", ["8", "8.5", "1e3", "True", "False", "None", "abc", "-1", "1_000", "nan", "", "007"]
)
def test_assignments_are_typed_as_papermill_types_them(value):
    """A value on our command line has the type that it has on papermill's."""
    assert repr(parse_assignments([("rate", value)])["rate"]) == repr(_resolve_type(value))


def test_assignments_of_text_stay_text():
    """A parameter whose type is text takes its value as written."""
    assert parse_assignments([("name", "42"), ("model", "True")]) == {"name": "42", "model": "True"}


def test_assignments_of_lists_and_mappings():
    """Lists and mappings can be given on the command line, one objective without brackets."""
    one = resolve(parse_assignments([("slo", "p99 ttft < 80ms"), ("headers", "{x-a: b}")]))
    assert one.slo == ("p99 ttft < 80ms",)
    assert one.headers == {"x-a": "b"}
    two = resolve(parse_assignments([("slo", "[p99 ttft < 80ms, error_rate < 1%]")]))
    assert two.slo == ("p99 ttft < 80ms", "error_rate < 1%")


def test_last_assignment_wins():
    """Of two values for a name the last counts, as for papermill."""
    assert parse_assignments([("rate", "1"), ("rate", "2")]) == {"rate": 2}


def test_file(tmp_path):
    """A YAML file gives its mapping; an empty one gives nothing."""
    file = tmp_path / "a.yaml"
    file.write_text("# purpose\nrate: 8\nslo:\n  - p99 ttft < 80ms\n")
    assert load_file(file) == {"rate": 8, "slo": ["p99 ttft < 80ms"]}
    file.write_text("# nothing\n")
    assert load_file(str(file)) == {}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rate: [", "is not YAML"),
        ("- a\n- b\n", "must hold lines of 'name: value'"),
        ("3: 4\n", "must hold lines"),
    ],
)
def test_file_that_is_no_mapping(tmp_path, text, said):
    """A file that does not hold names and values is refused by name."""
    file = tmp_path / "a.yaml"
    file.write_text(text)
    with pytest.raises(InvalidParameter, match=said) as caught:
        load_file(file)
    assert "a.yaml" in str(caught.value)


def test_missing_file_names_its_neighbours(tmp_path):
    """A file that is not there is refused with those that are."""
    (tmp_path / "demo_run.yaml").write_text("")
    with pytest.raises(InvalidParameter, match=r"has: demo_run\.yaml"):
        load_file(tmp_path / "demo.yaml")


@given(
    st.dictionaries(
        st.sampled_from(sorted(DESIGNED)),
        st.one_of(
            st.sampled_from([None, True, "", "[", "{a: 1}", "poisson", {"a": 1}, ["p99 ttft < 1s"], [1]]),
            st.integers(),
            st.floats(),
            st.text("p9 <[]{}:-\u00e9\n", max_size=9),
        ),
        max_size=3,
    )
)
@settings(deadline=None)
def test_any_value_is_taken_or_refused_in_our_words(values):
    """Whatever values come, they resolve or raise one of our errors, and what resolves does so again."""
    with suppress(ParameterError):
        p = resolve(values)
        assert resolve(p.model_dump()) == p


def test_literals_are_the_design_words():
    """The choices of load are those of the design, closed loops first."""
    assert typing.get_args(RunParameters.model_fields["load"].annotation) == (
        "concurrent",
        "synchronous",
        "throughput",
        "constant",
        "poisson",
        "gamma",
    )
