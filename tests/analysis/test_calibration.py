"""A fit finds the settings of a simulated engine again, from nothing but what a client would have seen of it."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from benchkit.analysis.calibration import fit
from benchkit.analysis.engine_steps import steps_of
from benchkit.analysis.prediction import errors, predict, streams_of
from benchkit.errors import CalibrationError
from benchkit.records.chunks import Chunks
from benchkit.simulator.config import EngineConfig
from benchkit.simulator.engine import VllmEngine
from benchkit.simulator.requests import EngineRequest
from benchkit.simulator.step_time import LinearStepTime

LOADS = ((1, 16), (1, 96), (1, 256), (1, 480), (2, 64), (4, 160), (8, 48), (8, 320), (16, 128), (24, 32))
"""Streams and prompt tokens."""
STEP = {
    "base_us": 8000.0,
    "prefill_us_per_token": 40.0,
    "decode_us_per_request": 60.0,
    "kv_us_per_token": 0.02,
}
SETTINGS = {"step_" + name: value for name, value in STEP.items()}


def seen_of(engine, lengths, streams):
    """Requests and chunks of a closed loop on an engine, stamped as they leave."""
    source, rows, times, tokens = iter(lengths), [], {}, {}

    def submit(now_ns):
        for prompt, output in source:
            request = EngineRequest(prompt, output, now_ns)
            rows.append(request)
            times[request], tokens[request] = [], []
            engine.submit(request, now_ns)
            return

    for _ in range(streams):
        submit(0)
    while (now_ns := engine.next_ns()) is not None:
        for emission in engine.advance(now_ns):
            times[emission.request].append(emission.due_ns)
            tokens[emission.request].append(emission.tokens)
            if emission.finished:
                submit(now_ns)
    ns = np.array([at for row in rows for at in times[row]], dtype=np.int64)
    counts = [len(times[row]) for row in rows]
    chunks = Chunks(
        offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        ns=ns,
        loop_ns=ns,
        tokens=np.array([made for row in rows for made in tokens[row]], np.int32),
        known=np.ones(len(rows), np.bool_),
        shared=np.zeros(len(ns), np.bool_),
    )
    requests = pd.DataFrame(
        {
            "phase": "window",
            "outcome": "ok",
            "sent_ns": [row.arrived_ns for row in rows],
            "first_token_ns": [times[row][0] for row in rows],
            "last_token_ns": [times[row][-1] for row in rows],
            "prompt_tokens": [row.prompt_tokens for row in rows],
            "cached_tokens": pd.array([None] * len(rows), dtype="Int64"),
            "output_tokens": [row.output_tokens for row in rows],
            "wanted_output_tokens": [row.output_tokens for row in rows],
        }
    )
    return requests, chunks


def lengths_of(random, streams, prompt, output=32):
    """Prompt and answer lengths of one load: equal alone, else spread by 30 %."""
    if streams == 1:
        return [(prompt, output)] * 6
    spread = random.uniform(0.7, 1.3, (max(12, 3 * streams), 2))
    return [(int(a * prompt), int(b * output)) for a, b in spread]


def calibration_of(config, *, loads=LOADS, seed=0, blur=None):
    """Steps and lone requests of the loads of a calibration on an engine of that configuration."""
    random = np.random.default_rng(seed)
    steps, alone = [], []
    for number, (streams, prompt) in enumerate(loads):
        engine = VllmEngine(dataclasses.replace(config, seed=100 * seed + number))
        requests, chunks = seen_of(engine, lengths_of(random, streams, prompt), streams)
        if blur is not None:
            chunks = blur(chunks)
        steps.append(steps_of(requests, chunks, max_num_batched_tokens=config.max_num_batched_tokens))
        if streams == 1:
            ttft_us = (requests.first_token_ns - requests.sent_ns) / 1e3
            alone.append(
                pd.DataFrame({"prompt_tokens": requests.prompt_tokens.astype(float), "ttft_us": ttft_us})
            )
    return pd.concat(steps, ignore_index=True), pd.concat(alone, ignore_index=True)


def engine_config(budget=2048, step=STEP, **settings):
    """An engine's configuration."""
    return EngineConfig(step_time=LinearStepTime(**step), max_num_batched_tokens=budget, **settings)


@pytest.mark.parametrize("api_us", [0.0, 3000.0])
@pytest.mark.parametrize("budget", [2048, 512, 256])
def test_what_a_step_computed_is_seen_from_outside(budget, api_us):
    """The duration of a step follows from the tokens, requests and contexts that are found for it, chunks included."""
    steps, _ = calibration_of(engine_config(budget, api_us=api_us))
    said_us = (
        STEP["base_us"]
        + STEP["prefill_us_per_token"] * steps.prefill_tokens
        + STEP["decode_us_per_request"] * steps.decoding_requests
        + STEP["kv_us_per_token"] * steps.kv_tokens
    )
    wrong = (steps.duration_us / said_us - 1).abs() > 1e-4
    assert len(steps) > 1400
    assert wrong.mean() < 0.005
    assert (steps.prefill_tokens + steps.decoding_requests <= budget).all()
    assert (steps.prefill_tokens > 0).sum() > 80


def test_settings_are_found_again():
    """Without noise they come out as they were, small ones less sharply, and what is not there is said to be 0."""
    config = engine_config(api_us=3000.0)
    found = fit(*calibration_of(config), max_num_batched_tokens=2048)
    assert found.settings["step_base_us"] == pytest.approx(8000, rel=1e-3)
    assert found.settings["step_prefill_us_per_token"] == pytest.approx(40, rel=5e-3)
    assert found.settings["step_decode_us_per_request"] == pytest.approx(60, rel=2e-2)
    assert found.settings["step_kv_us_per_token"] == pytest.approx(0.02, rel=0.5)
    assert found.settings["api_us"] == pytest.approx(3000, rel=5e-3)
    assert found.settings["stream_us"] == 0
    absent = {"step_attention_us_per_pair", "step_mixed_us_per_pair", "api_us_per_prompt_token"}
    assert set(found.unidentified) == absent
    assert all(found.settings[name] == 0 for name in absent)
    assert found.residual < 1e-3
    assert found.settings["jitter"] < 1e-3


def test_attention_and_crowding_are_found_where_they_weigh():
    """An engine whose prompts cost more beside others, and more the longer they are, is told from a linear one."""
    step = {
        "base_us": 22_000.0,
        "prefill_us_per_token": 620.0,
        "decode_us_per_request": 1300.0,
        "kv_us_per_token": 2.3,
        "attention_us_per_pair": 0.8,
        "mixed_us_per_pair": 24.0,
    }
    found = fit(*calibration_of(engine_config(512, step, jitter=0.02)), max_num_batched_tokens=512)
    for name, value in step.items():
        assert found.settings["step_" + name] == pytest.approx(value, rel=0.15), name


def test_the_corner_of_a_roofline_is_found():
    """A server that computes some tokens while it reads memory is told from one on which every token takes time."""
    step = STEP | {"free_tokens": 200.0}
    loads = ((1, 16), (1, 128), (1, 400), (1, 1024), *LOADS[4:8], (64, 64))
    found = fit(
        *calibration_of(engine_config(step=step, jitter=0.02), loads=loads), max_num_batched_tokens=2048
    )
    assert found.settings["step_free_tokens"] == pytest.approx(200, rel=0.15)
    assert found.settings["step_prefill_us_per_token"] == pytest.approx(40, rel=0.1)
    assert found.settings["step_base_us"] == pytest.approx(8000, rel=0.02)


def test_a_front_end_that_falls_behind_hides_steps_and_spoils_none():
    """Where sending takes longer than computing, the ends of steps cannot be seen, and such are left out."""
    config = engine_config(step=STEP | {"base_us": 3000.0}, stream_us=100.0)
    steps, _ = calibration_of(config, loads=(*LOADS[:4], (4, 64), (40, 32)))
    said_us = 3000 + 40 * steps.prefill_tokens + 60 * steps.decoding_requests + 0.02 * steps.kv_tokens
    assert len(steps) > 500
    assert ((steps.duration_us / said_us - 1).abs() > 0.05).mean() < 0.03
    assert steps.tokens.max() < 40


def test_intervals_cover_under_jitter():
    """With steps that vary by 3 % estimates stay near, and nine intervals of ten hold what they should."""
    expected = SETTINGS | {"api_us": 3000.0, "stream_us": 100.0}
    near = {"step_base_us": 0.02, "step_prefill_us_per_token": 0.1, "step_decode_us_per_request": 0.25,
            "api_us": 0.12, "stream_us": 0.02}  # fmt: skip
    covered = []
    for seed in range(4):
        config = engine_config(api_us=3000.0, stream_us=100.0, jitter=0.03)
        found = fit(*calibration_of(config, seed=seed), max_num_batched_tokens=2048)
        for name, value in expected.items():
            low, high = found.intervals[name]
            assert low <= high
            covered.append(low - 1e-6 * value <= value <= high + 1e-6 * value)
        for name, share in near.items():
            assert found.settings[name] == pytest.approx(expected[name], rel=share), (seed, name)
        assert found.settings["jitter"] == pytest.approx(0.03, rel=0.15)
    assert np.mean(covered) >= 0.8


def test_pauses_of_the_machine_do_not_carry_the_fit():
    """One step in fifty that takes three times as long moves no setting by more than a few per cent."""
    steps, alone = calibration_of(engine_config(api_us=3000.0, jitter=0.01))
    clean = fit(steps, alone, max_num_batched_tokens=2048)
    steps.loc[steps.index[::50], "duration_us"] *= 3
    paused = fit(steps, alone, max_num_batched_tokens=2048)
    for name in ("step_base_us", "step_prefill_us_per_token", "step_decode_us_per_request", "api_us"):
        assert paused.settings[name] == pytest.approx(clean.settings[name], rel=0.06), name


def merged(share):
    """A blur that lets a share of all events carry the token before them too."""

    def blur(chunks):
        random = np.random.default_rng(1)
        place = np.arange(len(chunks)) - np.repeat(chunks.offsets[:-1], chunks.counts)
        lost = (place > 1) & (random.random(len(chunks)) < share)
        lost[chunks.offsets[1:] - 1] = False
        lost[1:] &= ~lost[:-1]
        kept = np.flatnonzero(~lost)
        tokens = chunks.tokens.copy()
        tokens[np.flatnonzero(lost) + 1] += 1
        offsets = np.searchsorted(kept, chunks.offsets)
        ns = chunks.ns[kept]
        return Chunks(offsets, ns, ns, tokens[kept], chunks.known, chunks.shared[kept])

    return blur


def test_a_few_events_of_several_tokens_do_no_harm():
    """A front end that now and then sends two tokens together blurs some steps, and these are left out."""
    found = fit(*calibration_of(engine_config(), blur=merged(0.004)), max_num_batched_tokens=2048)
    for name, value in SETTINGS.items():
        assert found.settings[name] == pytest.approx(value, rel=0.02), name


def test_many_events_of_several_tokens_are_refused():
    """With a stream interval the steps cannot be seen, and the error says so."""
    with pytest.raises(CalibrationError, match="several tokens"):
        calibration_of(engine_config(stream_interval=4))


def test_a_twin_predicts_a_load_that_it_has_not_seen():
    """Means of TTFT, gap and latency at other lengths and streams come out within 2 %."""
    config = engine_config(512, api_us=2000.0, stream_us=60.0, jitter=0.02)
    found = fit(*calibration_of(config), max_num_batched_tokens=512)
    said = found.settings
    twin = engine_config(
        512,
        {name: said["step_" + name] for name in [*STEP, "attention_us_per_pair", "mixed_us_per_pair"]},
        api_us=said["api_us"],
        api_us_per_prompt_token=said["api_us_per_prompt_token"],
        stream_us=said["stream_us"],
    )
    random = np.random.default_rng(5)
    parameters = {"load": "concurrent", "concurrency": 12, "input_tokens": 220, "prefix_tokens": 0}
    requests, _ = seen_of(VllmEngine(config), lengths_of(random, 12, 220, 60), 12)
    table = predict(requests, VllmEngine(twin), parameters)
    for metric, (measured, predicted) in errors(table).items():
        assert predicted == pytest.approx(measured, rel=0.02), metric


def test_too_little_is_refused_with_what_is_missing():
    """Too few steps, and lone requests whose prompts are alike, are errors that say what to run."""
    steps, alone = calibration_of(engine_config())
    with pytest.raises(CalibrationError, match="only 20 steps"):
        fit(steps[:20], alone, max_num_batched_tokens=2048)
    alike = alone[alone.prompt_tokens == 96]
    with pytest.raises(CalibrationError, match=r"96 to 96 tokens.*synchronous"):
        fit(steps, alike, max_num_batched_tokens=2048)
    with pytest.raises(CalibrationError, match="gaps"):
        calibration_of(engine_config(), loads=((1, 16),), blur=first_two)


def first_two(chunks):
    """A blur that leaves two tokens of each request."""
    kept = (chunks.offsets[:-1][:, None] + np.arange(2)).ravel()
    ns = chunks.ns[kept]
    return Chunks(
        2 * np.arange(len(chunks.known) + 1), ns, ns, chunks.tokens[kept], chunks.known, chunks.shared[kept]
    )


def test_one_batch_size_leaves_its_cost_unknown():
    """Where no step differs in how many requests decode, what one takes is set to 0 and named, with the reason."""
    steps, alone = calibration_of(engine_config(), loads=LOADS[:4])
    found = fit(steps, alone, max_num_batched_tokens=2048)
    assert found.settings["step_decode_us_per_request"] == 0
    assert "decoding_requests" in found.unidentified["step_decode_us_per_request"]


@pytest.mark.parametrize(
    ("parameters", "streams"),
    [
        ({"load": "synchronous", "max_in_flight": 0}, 1),
        ({"load": "concurrent", "concurrency": 7, "max_in_flight": 0}, 7),
        ({"load": "throughput", "max_in_flight": 0}, 512),
        ({"load": "throughput", "max_in_flight": 9}, 9),
        ({"load": "poisson", "max_in_flight": 0}, 0),
    ],
)
def test_streams_of_a_load(parameters, streams):
    """How many requests a load keeps under way; none that is fixed in an open loop."""
    assert streams_of(parameters) == streams
