"""The engines, in virtual time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchkit.serving.simulated.engines import FixedEngine
from benchkit.simulator.config import EngineConfig
from benchkit.simulator.engine import VllmEngine
from benchkit.simulator.requests import EngineRequest
from benchkit.simulator.step_time import LinearStepTime

MS = 1_000_000


def fixed(**changes):
    return FixedEngine(**({"ttft_ns": 50 * MS, "gap_ns": 20 * MS, "max_num_seqs": 4} | changes))


def simple(**changes):
    step_time = LinearStepTime(
        base_us=1_000, prefill_us_per_token=10, decode_us_per_request=100, kv_us_per_token=0
    )
    return VllmEngine(
        EngineConfig(**({"step_time": step_time, "max_num_seqs": 4, "max_num_batched_tokens": 64} | changes))
    )


def submit(engine, *, prompt=10, output=3, at=0):
    request = EngineRequest(prompt, output, at)
    engine.advance(at)
    engine.submit(request, at)
    return request


def run(engine):
    """All emissions until the engine is idle."""
    emissions = []
    while (next_ns := engine.next_ns()) is not None:
        emissions += engine.advance(next_ns)
    return emissions


def test_fixed_times_are_constant():
    """The first token comes after the TTFT, the others a gap apart, however many requests there are."""
    engine = fixed()
    first, second = submit(engine), submit(engine, at=7 * MS)
    emissions = run(engine)

    assert [e.due_ns for e in emissions if e.request is first] == [50 * MS, 70 * MS, 90 * MS]
    assert [e.due_ns for e in emissions if e.request is second] == [57 * MS, 77 * MS, 97 * MS]
    assert [e.finished for e in emissions if e.request is first] == [False, False, True]


def test_fixed_is_not_shifted_by_being_called_late():
    """Tokens that are asked for late keep the times at which they were due."""
    engine = fixed()
    submit(engine)

    assert [e.due_ns for e in engine.advance(1_000 * MS)] == [50 * MS, 70 * MS, 90 * MS]


def test_fixed_queues_beyond_its_limit():
    """A request beyond max_num_seqs waits, and its TTFT counts from the end of the one before."""
    engine = fixed(max_num_seqs=1)
    submit(engine)
    waiting = submit(engine)
    assert (engine.running, engine.waiting) == (1, 1)

    due = [e.due_ns for e in run(engine) if e.request is waiting]

    assert due == [140 * MS, 160 * MS, 180 * MS]
    assert waiting.admitted_ns == 90 * MS


def test_fixed_first_request_can_be_cold():
    """The very first token comes later by cold_ns, all others do not."""
    engine = fixed(cold_ns=500 * MS)
    cold, warm = submit(engine, output=1), submit(engine, output=1)

    run(engine)

    assert (cold.first_token_ns, warm.first_token_ns) == (550 * MS, 50 * MS)


def test_simple_tokens_leave_at_the_end_of_steps():
    """One step computes the prompt and ends with the first token; each later one ends with one more."""
    engine = simple()
    submit(engine)

    # 1,000 + 10 * 10 us, then 1,000 + 100 us a step
    assert [e.due_ns for e in run(engine)] == [1_100_000, 2_200_000, 3_300_000]


def test_simple_prefill_slows_the_others_down():
    """A prompt that comes in makes the step in which it is computed longer for those that decode."""
    engine = simple()
    decoding = submit(engine, output=4)
    late = submit(engine, prompt=50, output=1, at=1_500_000)
    emissions = run(engine)

    second, third, fourth = [e.due_ns for e in emissions if e.request is decoding]
    assert third - second == 1_000_000 + 50 * 10_000 + 100_000
    assert fourth - third == 1_100_000
    assert late.first_token_ns == third


def test_simple_computes_long_prompts_in_chunks():
    """A prompt longer than the token budget takes several steps and gets one token at the end of the last."""
    engine = simple()
    long = submit(engine, prompt=150, output=1)

    emissions = run(engine)

    # steps of 64, 64 and 22 prompt tokens
    assert [e.due_ns for e in emissions if e.request is long] == [3_000_000 + 150 * 10_000]


def test_simple_batch_is_limited():
    """No more than max_num_seqs requests run; the next is admitted when one has ended."""
    engine = simple(max_num_seqs=2)
    requests = [submit(engine, output=3) for _ in range(3)]
    engine.advance(engine.next_ns())
    assert (engine.running, engine.waiting) == (2, 1)

    ended = [e.due_ns for e in run(engine) if e.finished]

    assert requests[2].admitted_ns == ended[0]
    assert requests[2].first_token_ns > ended[0]


@pytest.mark.parametrize("make", [fixed, simple])
def test_cancelled_requests_get_nothing_more(make):
    """A cancelled request frees its place and emits no more; a waiting one moves up."""
    engine = make(max_num_seqs=1)
    gone = submit(engine, output=100)
    waiting = submit(engine, output=2)
    engine.advance(engine.next_ns())
    engine.cancel(gone, engine.next_ns() - 1)
    emissions = run(engine)

    assert {id(e.request) for e in emissions} == {id(waiting)}
    assert waiting.emitted == 2
    assert (engine.running, engine.waiting) == (0, 0)


@pytest.mark.parametrize("make", [fixed, simple])
@given(
    loads=st.lists(
        st.tuples(st.integers(0, 50 * MS), st.integers(1, 200), st.integers(1, 20)), min_size=1, max_size=25
    ),
    limit=st.integers(1, 6),
)
def test_every_token_is_emitted_once_and_in_order(make, loads, limit):
    """Whatever arrives: each request gets just its tokens, times never go back, and the engine ends empty."""
    engine = make(max_num_seqs=limit)
    requests, emissions = [], []
    for at, prompt, output in sorted(loads):
        emissions += engine.advance(at)
        request = EngineRequest(prompt, output, at)
        engine.submit(request, at)
        requests.append(request)
        assert engine.running <= limit
    emissions += run(engine)

    assert [r.emitted for r in requests] == [r.output_tokens for r in requests]
    assert sum(e.tokens for e in emissions) == sum(r.output_tokens for r in requests)
    due = [e.due_ns for e in emissions]
    assert due == sorted(due)
    assert all(r.first_token_ns > r.arrived_ns for r in requests)
    assert (engine.running, engine.waiting) == (0, 0)


@pytest.mark.parametrize("make", [fixed, simple])
def test_emissions_count_for_themselves(make):
    """When several tokens of a request are asked for at once, each says which of them it is."""
    engine = make()
    submit(engine, output=3)
    emissions = engine.advance(1_000 * MS)

    assert [emission.total for emission in emissions] == [1, 2, 3]
    assert [emission.first for emission in emissions] == [True, False, False]
