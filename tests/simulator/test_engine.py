"""What a whole engine does in virtual time: its own rules, and the behaviour that follows from them."""

import gc
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchkit.simulator.config import EngineConfig
from benchkit.simulator.engine import VllmEngine
from benchkit.simulator.requests import EngineRequest
from benchkit.simulator.simulate import SimulatedRequest, simulate
from benchkit.simulator.step_time import LinearStepTime

MS = 1_000_000
STEP = LinearStepTime(base_us=10_000, prefill_us_per_token=20, decode_us_per_request=100, kv_us_per_token=0)


def engine(**changes):
    return VllmEngine(EngineConfig(**({"step_time": STEP, "max_num_batched_tokens": 512} | changes)))


def poisson(rate, count, *, prompt=100, output=20, seed=0, hashes=()):
    """Requests that arrive by chance."""
    times = np.cumsum(np.random.default_rng(seed).exponential(1e9 / rate, count)).astype(int)
    return [SimulatedRequest(int(at), prompt, output, hashes) for at in times]


def test_times_of_one_request_follow_from_the_step_time():
    """Front end, prefill, then a step and a sending for each token; a gap stands between steps."""
    one = engine(api_us=3_000, step_gap_us=500, stream_us=50)
    result = simulate(one, [SimulatedRequest(0, 100, 3)], keep_gaps=True)
    assert result.ttft_ns.tolist() == [3 * MS + MS // 2 + 12 * MS + 50_000]
    assert result.gaps_ns.tolist() == [10_600_000, 10_600_000]
    assert result.latency_ns[0] == result.ttft_ns[0] + 2 * 10_600_000


def test_the_front_end_does_one_thing_after_another():
    """Requests that come together wait for one another before the scheduler sees them."""
    many = simulate(engine(api_us=5_000), [SimulatedRequest(0, 10, 1)] * 4)
    assert np.all(np.diff(np.sort(many.ttft_ns)) >= 0)
    assert many.ttft_ns.max() >= 20 * MS
    streamed = engine(stream_us=2_000)
    for _ in range(8):
        streamed.submit(EngineRequest(10, 2, 0), 0)
    out = []
    while (at := streamed.next_ns()) is not None:
        out += streamed.advance(at)
    times = np.array([emission.due_ns for emission in out])
    assert np.all(np.diff(times) >= 2 * MS)


def test_scheduled_ahead_a_request_waits_for_up_to_two_steps():
    """With the next batch fixed when a step starts, who arrives during a step misses the next one too."""
    ttft = []
    for ahead in (False, True):
        busy = engine(schedule_ahead=ahead)
        load = [SimulatedRequest(0, 10, 40), SimulatedRequest(100 * MS, 10, 5)]
        result = simulate(busy, load)
        ttft.append(result.ttft_ns[1])
        assert result.output_tokens.tolist() == [40, 5]
    assert 9 * MS < ttft[1] - ttft[0] < 11 * MS


def test_gaps_widen_while_a_long_prompt_is_computed():
    """Whoever decodes meanwhile waits for the chunks, and for no longer than these last."""
    result = simulate(
        engine(), [SimulatedRequest(0, 10, 60), SimulatedRequest(200 * MS, 1_500, 2)], keep_gaps=True
    )
    wide = result.gaps_ns > 15 * MS
    assert 3 <= wide.sum() <= 4
    assert result.gaps_ns[wide].max() == pytest.approx(20.3 * MS, rel=0.02)


def test_ttft_has_a_knee_at_capacity():
    """Below the capacity TTFT hardly grows with the rate, above it it grows with time."""
    means = [simulate(engine(max_num_seqs=8), poisson(rate, 600)).ttft_ns.mean() / MS for rate in (5, 15, 60)]
    assert means[1] < 2 * means[0]
    assert means[2] > 20 * means[0]


@pytest.mark.parametrize(
    ("limit", "least"), [({"max_num_seqs": 16}, 16), ({"kv_blocks": 16 * 8, "max_num_seqs": 1024}, 16)]
)
def test_throughput_is_flat_beyond_the_seats_and_beyond_the_cache(limit, least):
    """More streams than there are seats, or blocks for, add nothing."""
    load = [SimulatedRequest(0, 100, 28)] * 400
    seconds = {
        streams: simulate(engine(**limit), load, concurrency=streams).end_ns.max() / 1e9
        for streams in (4, least, 4 * least, 12 * least)
    }
    assert seconds[4] > 1.8 * seconds[least]
    assert seconds[4 * least] == pytest.approx(seconds[12 * least], rel=0.05)
    assert seconds[4 * least] > 0.8 * seconds[least]


def test_known_prefixes_cut_ttft_in_proportion():
    """What is found in the cache is not computed: TTFT falls by its share of the prefill."""
    load = [
        SimulatedRequest(at * 1_000 * MS, 480, 2, [*range(24), *(100 + 10 * at + i for i in range(6))])
        for at in range(3)
    ]
    result = simulate(engine(kv_blocks=200), load)
    assert result.cached_tokens.tolist() == [0, 384, 384]
    saved = result.ttft_ns[0] - result.ttft_ns[1:]
    assert saved.tolist() == [384 * 20_000] * 2


def test_preemptions_appear_when_the_cache_is_over_committed():
    """Prompts that fit and answers that do not: some are computed twice; with room for all none is."""
    load = [SimulatedRequest(0, 64, 200)] * 24
    small, large = engine(kv_blocks=120), engine(kv_blocks=24 * 17)
    slow, quick = (simulate(one, load, concurrency=24) for one in (small, large))
    assert small.stats.preemptions > 5
    assert large.stats.preemptions == 0
    assert slow.end_ns.max() > quick.end_ns.max()


def test_littles_law_holds():
    """Mean requests inside, seen from outside at fixed times, are the arrival rate times the mean stay."""
    one = engine(max_num_seqs=8, jitter=0.2, api_us=1_000)
    rate, seen, until = 12, [], 0
    stays = []
    for work in poisson(rate, 3_000):
        while until < work.due_ns:
            stays += [e.due_ns - e.request.arrived_ns for e in one.advance(until) if e.finished]
            seen.append(one.running + one.waiting)
            until += 20 * MS
        one.advance(work.due_ns)
        one.submit(EngineRequest(work.prompt_tokens, work.output_tokens, work.due_ns), work.due_ns)
    assert np.mean(seen) == pytest.approx(rate * np.mean(stays) / 1e9, rel=0.05)


def test_the_jitter_is_seeded_and_leaves_the_mean():
    """The same seed gives the same times; on average a step takes what its model says."""
    load = [SimulatedRequest(0, 10, 4_000)]
    first, again, other = (
        simulate(engine(jitter=0.3, seed=seed), load, keep_gaps=True).gaps_ns for seed in (1, 1, 2)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert first.mean() == pytest.approx(10.1 * MS, rel=0.02)
    assert np.log(first).std() == pytest.approx(0.3, rel=0.05)


def test_a_stream_interval_sends_the_first_token_at_once_and_then_several():
    """Tokens wait for their interval, all but the first and the last ones."""
    one = engine(stream_interval=4)
    one.submit(EngineRequest(10, 10, 0), 0)
    out = []
    while (at := one.next_ns()) is not None:
        out += one.advance(at)
    assert [(e.tokens, e.total) for e in out] == [(1, 1), (4, 5), (4, 9), (1, 10)]
    assert out[-1].finished


@pytest.mark.parametrize("ahead", [False, True])
def test_a_cancelled_request_gives_back_all_it_held(ahead):
    """Wherever it is, a request whose client has gone leaves neither tokens nor blocks behind."""
    one = engine(kv_blocks=64, max_num_seqs=2, api_us=1_000, schedule_ahead=ahead)
    requests = [EngineRequest(100, 20, 0) for _ in range(4)]
    for request in requests:
        one.submit(request, 0)
    one.advance(40 * MS)
    for request in requests[1:]:
        one.cancel(request, 40 * MS)
        one.cancel(request, 40 * MS)
    out = []
    while (at := one.next_ns()) is not None:
        out += one.advance(at)
    assert {emission.request for emission in out} == {requests[0]}
    assert (one.running, one.waiting, one.stats.kv_usage) == (0, 0, 0)


def test_a_request_that_never_fits_is_refused_by_name():
    """Instead of waiting for ever at the head of the queue."""
    with pytest.raises(ValueError, match="kv_blocks"):
        engine(kv_blocks=4).submit(EngineRequest(60, 10, 0), 0)


def test_memory_does_not_grow_with_simulated_time():
    """An hour later the engine holds no more than before."""
    one = engine(kv_blocks=500)
    sizes = []
    tracemalloc.start()
    try:
        for work in poisson(10, 3_000, prompt=64, output=4):
            one.advance(work.due_ns)
            unique = range(work.due_ns, work.due_ns + 4)
            one.submit(EngineRequest(64, 4, work.due_ns, unique), work.due_ns)
            if len(sizes) < 2 and work.due_ns > (60e9, 280e9)[len(sizes)]:
                gc.collect()
                sizes.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert sizes[1] < sizes[0] + 50_000


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 300), st.integers(1, 60), st.integers(1, 12)), min_size=1, max_size=12),
    st.integers(1, 40),
    st.booleans(),
    st.sampled_from([{}, {"draft_tokens": 2, "draft_acceptance": 0.5}, {"stream_interval": 3}]),
)
def test_how_often_it_is_asked_changes_nothing(load, beat, ahead, more):
    """In large strides or small ones, the same tokens leave at the same times."""
    stories = []
    for stride in (beat * MS, None):
        one = engine(kv_blocks=24, max_num_seqs=3, schedule_ahead=ahead, api_us=700, stream_us=300, **more)
        out, now = [], 0
        for at, prompt, output in sorted(load):
            while stride and now + stride < at * MS:
                now += stride
                out += one.advance(now)
            out += one.advance(at * MS)
            one.submit(EngineRequest(prompt, output, at * MS), at * MS)
        while (following := one.next_ns()) is not None:
            now = max(now + stride, following) if stride else following
            out += one.advance(now)
        stories.append([(e.request.prompt_tokens, e.due_ns, e.tokens, e.total, e.finished) for e in out])
        assert sum(e.tokens for e in out) == sum(output for _, _, output in load)
    assert stories[0] == stories[1]
