"""Plans: the same for anyone who draws them, exact in what they ask for."""

import dataclasses
import hashlib
import itertools
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchkit.errors import InvalidParameter
from benchkit.parameters import resolve
from benchkit.plan.plan import Phase, Plan
from benchkit.plan.spec import DEFAULT_VOCABULARY, PlanSpec, Vocabulary

MIXED = Vocabulary(("one", "two-two", 'th"ree', "ü", "solo"), (1, 2, 3, 4, 1), 7, "usage_probe")

POISSON = {
    "load": "poisson",
    "rate": 40,
    "warmup_s": 1,
    "duration_s": 5,
    "input_tokens": 60,
    "input_tokens_spread": 0.5,
    "output_tokens": 20,
    "output_tokens_spread": 0.2,
}
SPECS = {
    "poisson": POISSON,
    "constant": POISSON | {"load": "constant"},
    "gamma": POISSON | {"load": "gamma", "burstiness": 0.3, "prefix_tokens": 10},
    "concurrent": {"requests": 150, "input_tokens": 30, "output_tokens": 5},
    "synchronous": {"load": "synchronous", "requests": 40, "input_tokens": 30, "endpoint": "completions"},
    "throughput": {
        "load": "throughput",
        "requests": 100,
        "duration_s": 0,
        "warmup_s": 0,
        "prompt_form": "token_ids",
        "endpoint": "completions",
    },
}


def _plan(values=None, **options):
    return Plan(PlanSpec.of(resolve(values or {}), model="m", **options))


def _some(plan, phase, count=120):
    return list(itertools.islice(plan.sessions(phase), count))


def _bodies(plan, phase=Phase.WINDOW, count=120):
    return [json.loads(session.turns[0].body) for session in _some(plan, phase, count)]


def _content(body):
    return body["prompt"] if "prompt" in body else body["messages"][0]["content"]


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("workers", [2, 4])
def test_workers_share_one_plan(name, workers):
    """Two or four workers send together just what one would, at the same times."""
    plan = _plan(SPECS[name])
    for phase in Phase:
        alone = _some(plan, phase)
        shared = [
            session
            for worker in range(workers)
            for session in itertools.islice(
                Plan(plan.spec).sessions(phase, worker=worker, workers=workers), len(alone) // workers + 1
            )
        ]
        shared.sort(key=lambda session: session.index)
        assert [s.index for s in shared] == list(range(len(shared)))
        assert shared[: len(alone)] == alone


def test_same_plan_in_other_processes():
    """Another process, with another hash seed, draws the same plans from the specs' JSON."""
    specs = [
        _plan(values, vocabulary=v).spec for values in SPECS.values() for v in (DEFAULT_VOCABULARY, MIXED)
    ]
    program = (
        "import json, sys; from benchkit.plan.plan import Plan; from benchkit.plan.spec import PlanSpec\n"
        "print([Plan(PlanSpec.from_json(s)).sha256 for s in json.load(sys.stdin)])"
    )
    expected = str([Plan(spec).sha256 for spec in specs])
    for hash_seed in ("1", "4242"):
        done = subprocess.run(
            [sys.executable, "-c", program],
            input=json.dumps([spec.to_json() for spec in specs]),
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
            env=os.environ | {"PYTHONHASHSEED": hash_seed},
        )
        assert done.stdout.strip() == expected


def test_plans_do_not_change_between_versions():
    """A few plans are pinned: whoever changes what a seed means must say so, and change this."""
    assert {name: _plan(values).sha256[:12] for name, values in SPECS.items()} == PINNED


PINNED = {
    "poisson": "990fae698a67",
    "constant": "6a71da9bebac",
    "gamma": "48c4eb84c829",
    "concurrent": "3455b208fb6f",
    "synchronous": "a12b9babe3cc",
    "throughput": "4b77216fad21",
}


def test_feeder_starts_light():
    """What draws a plan beside the load imports neither pydantic nor the packages of analysis."""
    program = "import sys, benchkit.plan.plan, benchkit.plan.spec; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    heavy = {"pydantic", "pandas", "pyarrow", "scipy", "httpx", "IPython", "altair", "yaml"}
    assert heavy & set(done.stdout.split()) == set()


def test_chat_body():
    """A chat body asks for a stream with usage on every chunk, and for the whole wanted length."""
    body = _bodies(_plan({"input_tokens": 5, "output_tokens": 9, "extra_body": {"top_p": 0.5}}), count=1)[0]
    content = body["messages"][0].pop("content")
    assert body == {
        "model": "m",
        "messages": [{"role": "user"}],
        "max_tokens": 9,
        "temperature": 0.0,
        "stream": True,
        "stream_options": {"include_usage": True, "continuous_usage_stats": True},
        "ignore_eos": True,
        "top_p": 0.5,
    }
    assert len(content.split()) == 5
    assert set(content.split()) <= set(DEFAULT_VOCABULARY.words)


@pytest.mark.parametrize(("stream_usage", "options"), [("final", {"include_usage": True}), ("none", None)])
def test_body_for_a_plainer_server(stream_usage, options):
    """What a server does not understand is not sent to it."""
    plan = _plan({"endpoint": "completions"}, stream_usage=stream_usage, ignore_eos=False)
    body = _bodies(plan, count=1)[0]
    assert body.get("stream_options") == options
    assert "ignore_eos" not in body
    assert "messages" not in body


def test_token_ids():
    """Token-id prompts have exactly the wanted number of ids, from 1000 to 3999."""
    plan = _plan(
        {"prompt_form": "token_ids", "endpoint": "completions", "input_tokens": 700}, vocabulary=MIXED
    )
    prompts = [_content(body) for body in _bodies(plan)]
    assert {len(ids) for ids in prompts} == {700}
    drawn = np.concatenate(prompts)
    assert (drawn.min(), drawn.max()) == (1000, 3999)


@given(
    tokens=st.integers(12, 90),
    prefix=st.integers(0, 5),
    seed=st.integers(0, 2**62),
    costs=st.lists(st.integers(1, 5), min_size=1, max_size=8),
    overhead=st.integers(0, 6),
)
@settings(deadline=None, max_examples=60)
def test_text_has_the_exact_length(tokens, prefix, seed, costs, overhead):
    """Whatever words cost, a prompt's words and the server's own tokens add up to the wanted length."""
    costs = [*costs, 1]
    words = tuple(f"w{i}" for i in range(len(costs)))
    vocabulary = Vocabulary(words, tuple(costs), overhead, "tokenizer_file")
    plan = _plan({"input_tokens": tokens, "prefix_tokens": prefix, "seed": seed}, vocabulary=vocabulary)
    for session in _some(plan, Phase.WINDOW, 5):
        (turn,) = session.turns
        used = _content(json.loads(turn.body)).split(" ")
        assert overhead + sum(costs[words.index(word)] for word in used) == tokens == turn.prompt_tokens


def test_odd_words_survive():
    """Words with quotes, percent signs or other scripts reach the body as they are."""
    vocabulary = Vocabulary(('"', "%d", "ü", "\\n", "字"), (1,) * 5, 0, "tokenizer_file")
    plan = Plan(dataclasses.replace(_plan().spec, vocabulary=vocabulary, model='a"%s/ü'))
    body = _bodies(plan, count=1)[0]
    assert set(_content(body).split(" ")) == set(vocabulary.words)
    assert body["model"] == 'a"%s/ü'


def test_turn_describes_its_body():
    """A turn's hash and wanted lengths are those of its body."""
    for session in _some(_plan(POISSON), Phase.WINDOW):
        (turn,) = session.turns
        body = json.loads(turn.body)
        assert turn.prompt_hash == hashlib.sha256(turn.body).hexdigest()[:16]
        assert turn.prompt_tokens == len(_content(body).split())
        assert turn.output_tokens == body["max_tokens"]
        assert turn.model == body["model"] == "m"


def test_contents_differ():
    """No two prompts of warm-up, window, repeats or seeds are the same, so no prefix cache can help."""
    plans = [_plan(POISSON | {"seed": seed}, repeat=repeat) for seed in (0, 1) for repeat in (0, 1)]
    drawn = [_content(body)[:40] for plan in plans for phase in Phase for body in _bodies(plan, phase)]
    assert len(drawn) > 4 * 120
    assert len(set(drawn)) == len(drawn)


def test_repeats_and_seeds_draw_other_times():
    """Repeats and seeds draw other times and lengths; the model's name changes neither."""
    base = _plan(POISSON)
    for other in (_plan(POISSON, repeat=1), _plan(POISSON | {"seed": 1})):
        assert other.due_ns(Phase.WINDOW).tolist() != base.due_ns(Phase.WINDOW).tolist()
        assert other.sha256 != base.sha256
    renamed = Plan(dataclasses.replace(base.spec, model="n"))
    assert renamed.due_ns(Phase.WINDOW).tolist() == base.due_ns(Phase.WINDOW).tolist()
    assert renamed.sha256 != base.sha256


def test_paired_plans_share_times_and_lengths_and_no_prompt():
    """Other contents come at the same times and in the same lengths, with a prefix of their own."""
    values = POISSON | {"prefix_tokens": 12}
    plans = [_plan(values, contents=contents) for contents in (0, 1, 2)]
    for phase in Phase:
        assert len({tuple(plan.due_ns(phase)) for plan in plans}) == 1
        drawn = [_bodies(plan, phase) for plan in plans]
        lengths = [[(len(_content(b).split()), b["max_tokens"]) for b in bodies] for bodies in drawn]
        assert lengths[0] == lengths[1] == lengths[2]
        starts = [{_content(body)[:40] for body in bodies} for bodies in drawn]
        assert not starts[0] & starts[1]
        assert not starts[1] & starts[2]
    assert "contents" not in plans[0].spec.to_json()


def test_prefix_is_shared_by_the_seed():
    """All prompts of a seed begin with the same prefix, in every phase and repeat, and go on differently."""
    values = POISSON | {"prefix_tokens": 12}
    prompts = [
        _content(body).split()
        for repeat in (0, 1)
        for phase in Phase
        for body in _bodies(_plan(values, repeat=repeat), phase)
    ]
    assert len({tuple(words[:12]) for words in prompts}) == 1
    assert len({tuple(words[12:]) for words in prompts}) == len(prompts)
    other = _content(_bodies(_plan(values | {"seed": 5}), count=1)[0]).split()
    assert other[:12] != prompts[0][:12]


@pytest.mark.parametrize("load", ["constant", "poisson", "gamma"])
def test_open_loop_turns_are_due(load):
    """In an open loop each turn is due at its intended time, warm-up and window apart, within the phase."""
    plan = _plan(SPECS[load])
    for phase, length_s in ((Phase.WARMUP, 1), (Phase.WINDOW, 5)):
        due = plan.due_ns(phase)
        sessions = list(plan.sessions(phase))
        assert [s.turns[0].due_ns for s in sessions] == due.tolist()
        assert {s.turns[0].delay_ns for s in sessions} == {None}
        assert {s.phase for s in sessions} == {phase}
        assert due[-1] < length_s * 10**9
        assert len(due) == pytest.approx(40 * length_s, rel=0.6)


def test_closed_loop_turns_follow():
    """In a closed loop a turn is due when a slot falls free; only the window has a number of requests."""
    plan = _plan({"requests": 5})
    assert plan.due_ns(Phase.WINDOW) is None
    assert [(s.turns[0].due_ns, s.turns[0].delay_ns) for s in plan.sessions(Phase.WINDOW)] == [(None, 0)] * 5
    assert len(_some(plan, Phase.WARMUP, 50)) == 50
    assert len(_some(_plan(), Phase.WINDOW, 1500)) == 1500


@pytest.mark.parametrize("load", ["concurrent", "poisson"])
def test_no_warmup(load):
    """Without a warm-up there is nothing to send in it."""
    assert _some(_plan({"load": load, "warmup_s": 0}), Phase.WARMUP) == []


@pytest.mark.parametrize(
    ("requests", "duration_s", "count"), [(10, 1000, 10), (10, 0, 10), (10_000, 2, None), (0, 2, None)]
)
def test_requests_or_time_end_an_open_loop(requests, duration_s, count):
    """The window of an open loop ends at its number or its length, whichever comes first."""
    plan = _plan({"load": "poisson", "rate": 50, "requests": requests, "duration_s": duration_s})
    due = plan.due_ns(Phase.WINDOW)
    if count is None:
        assert 0 < len(due) < 200
        assert due[-1] < duration_s * 10**9
    else:
        assert len(due) == count


@given(start=st.integers(0, 60), workers=st.integers(1, 5), worker=st.integers(0, 4))
@settings(deadline=None, max_examples=50)
def test_start(start, workers, worker):
    """A worker can begin anywhere: it gets its own sessions from there on, as they always were."""
    worker %= workers
    plan = _plan({"requests": 50, "input_tokens": 10})
    every = [s for s in plan.sessions(Phase.WINDOW) if s.index % workers == worker and s.index >= start]
    assert list(plan.sessions(Phase.WINDOW, worker=worker, workers=workers, start=start)) == every


@pytest.mark.parametrize("name", SPECS)
def test_totals(name):
    """Totals, for a dry run, are what the sessions add up to."""
    plan = _plan(SPECS[name])
    turns = [s.turns[0] for s in plan.sessions(Phase.WINDOW)]
    totals = plan.totals()
    assert totals.requests == len(turns)
    assert totals.prompt_tokens == sum(t.prompt_tokens for t in turns)
    assert totals.output_tokens == sum(t.output_tokens for t in turns)
    assert totals.mean_output_tokens == plan.spec.output_tokens


def test_totals_of_endless_plans():
    """Where the server's speed decides, totals are unknown instead of guessed."""
    endless = _plan().totals()
    assert (endless.requests, endless.prompt_tokens, endless.output_tokens) == (None, None, None)
    assert endless.warmup_requests is None
    assert endless.seconds == 33.0
    assert _plan(SPECS["throughput"]).totals().seconds is None
    counted = _plan({"load": "constant", "rate": 2, "duration_s": 0, "requests": 21, "warmup_s": 1}).totals()
    assert (counted.requests, counted.warmup_requests, counted.seconds) == (21, 2, 11.0)


def test_hash_covers_each_input():
    """Every field of the spec changes the hash."""
    spec = _plan(SPECS["gamma"]).spec
    changes = {
        "load": "constant",
        "dataset": "other",
        "prompt_form": "token_ids",
        "endpoint": "completions",
        "model": "n",
        "extra_body": {"x": 1},
        "vocabulary": MIXED,
        "stream_usage": "none",
        "ignore_eos": False,
    }
    for name in (field.name for field in dataclasses.fields(spec)):
        value = getattr(spec, name)
        changed = changes[name] if name in changes else value + (0.125 if isinstance(value, float) else 1)
        other = dataclasses.replace(spec, **{name: changed})
        assert Plan(other).sha256 != Plan(spec).sha256, name


def test_spec_survives_json():
    """A spec that went through JSON is the same spec."""
    for values in SPECS.values():
        spec = _plan(values, vocabulary=MIXED).spec
        assert PlanSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec


def test_spec_of_closed_loops_has_their_streams():
    """The spec's concurrency is the number of streams, whichever way it was asked for."""
    found = {
        load: _plan({"load": load}).spec.concurrency for load in ("synchronous", "concurrent", "throughput")
    }
    assert found == {"synchronous": 1, "concurrent": 8, "throughput": 512}


def test_prompt_shorter_than_the_template():
    """Prompts that the server's own tokens fill are refused with the least possible length."""
    with pytest.raises(InvalidParameter, match="ask for at least 8"):
        _plan({"input_tokens": 7}, vocabulary=MIXED)
    assert len(_content(_bodies(_plan({"input_tokens": 8}, vocabulary=MIXED), count=1)[0]).split()) == 1


@pytest.mark.parametrize(
    ("words", "costs", "overhead"),
    [(("a",), (1, 1), 0), (("a",), (2,), 0), (("a", "b"), (1, 0), 0), (("a",), (1,), -1)],
)
def test_vocabulary_that_cannot_be_exact(words, costs, overhead):
    """A vocabulary without a word of one token, or with senseless costs, is refused."""
    with pytest.raises(ValueError, match="vocabulary"):
        Vocabulary(words, costs, overhead, "tokenizer_file")


def test_default_vocabulary():
    """The default words are distinct, plain, many, and say that nobody counted them."""
    assert len(set(DEFAULT_VOCABULARY.words)) == len(DEFAULT_VOCABULARY.words) > 300
    assert all(word.isascii() and word.isalpha() and word.islower() for word in DEFAULT_VOCABULARY.words)
    assert DEFAULT_VOCABULARY.source == "uncounted"
