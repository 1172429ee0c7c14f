"""The scheduler and the cache, step by step and under random loads."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchkit.simulator.config import EngineConfig
from benchkit.simulator.kv_cache import KvCache
from benchkit.simulator.requests import EngineRequest
from benchkit.simulator.scheduler import Scheduler


def scheduler(**changes):
    return Scheduler(EngineConfig(**({"max_num_seqs": 4, "max_num_batched_tokens": 64} | changes)))


def add(scheduler, prompt, output, hashes=()):
    request = EngineRequest(prompt, output, 0, hashes)
    scheduler.waiting.append(request)
    return request


def end(scheduler, step):
    """What the engine does at a step's end."""
    for request, made in step.tokens_for:
        request.emitted += made
        if request.emitted >= request.output_tokens:
            scheduler.finish(request)


def test_running_requests_come_first_and_prompts_are_cut_to_the_budget():
    """A long prompt is computed in what the decoding requests leave of the budget, over several steps."""
    engine = scheduler()
    short, long = add(engine, 10, 5), add(engine, 100, 2)

    first = engine.schedule(0)
    assert first.batch[:3] == (64, 0, 0)
    assert [request for request, _ in first.tokens_for] == [short]
    assert (short.computed, long.computed) == (10, 54)
    end(engine, first)
    second = engine.schedule(1)
    assert second.batch[:3] == (46, 1, 11)
    assert second.batch.pairs == 46 * (54 + 23)
    assert [request for request, _ in second.tokens_for] == [short, long]


def test_a_step_never_holds_more_than_max_num_seqs():
    """Requests beyond the limit wait until one ends."""
    engine = scheduler(max_num_seqs=2)
    requests = [add(engine, 4, 2) for _ in range(3)]
    end(engine, engine.schedule(0))
    assert engine.running == requests[:2]
    end(engine, engine.schedule(1))
    engine.schedule(2)
    assert engine.running == requests[2:]


def test_long_prefill_token_threshold_cuts_only_while_there_are_others():
    """One prompt's share of a step is limited as soon as there is another request."""
    engine = scheduler(long_prefill_token_threshold=16)
    alone = add(engine, 60, 1)
    assert engine.schedule(0).batch.prefill_tokens == 60
    end_of = add(engine, 60, 1)
    assert end_of.computed == 0
    other = scheduler(long_prefill_token_threshold=16)
    add(other, 60, 1)
    add(other, 60, 1)
    assert other.schedule(0).batch.prefill_tokens == 32
    assert alone.computed == 60


def test_the_newest_request_is_preempted_and_computed_again():
    """Without a free block the newest running request gives all of its own back and goes to the queue's head."""
    engine = scheduler(kv_blocks=4, max_num_batched_tokens=128)
    old, new = add(engine, 32, 20), add(engine, 31, 9)
    end(engine, engine.schedule(0))
    assert engine.cache.free == 0
    step = engine.schedule(1)
    assert engine.preemptions == new.preemptions == 1
    assert engine.running == [old]
    assert list(engine.waiting) == [new]
    assert (new.computed, new.blocks) == (0, 0)
    assert step.batch[:3] == (0, 1, 33)
    end(engine, step)
    while old.emitted < old.output_tokens:
        end(engine, engine.schedule(2))
    resumed = engine.schedule(3)
    assert resumed.batch.prefill_tokens == 32
    assert resumed.batch.decoding_requests == 0


def test_the_head_of_the_queue_waits_for_room_and_others_behind_it():
    """A request whose whole prompt does not fit is not admitted, and nobody overtakes it."""
    engine = scheduler(kv_blocks=8, max_num_batched_tokens=128)
    add(engine, 100, 20)
    end(engine, engine.schedule(0))
    add(engine, 60, 1)
    small = add(engine, 4, 1)
    assert engine.schedule(1).batch.requests == 1
    assert small.admitted_ns == -1


def test_a_known_prefix_is_not_computed_again_but_for_one_token():
    """Full blocks of an earlier prompt are found, the last token of a prompt always computed."""
    engine = scheduler(kv_blocks=16, max_num_batched_tokens=128)
    first = add(engine, 64, 1, hashes=(1, 2, 3, 4))
    end(engine, engine.schedule(0))
    assert first.cached_tokens == 0
    same = add(engine, 64, 1, hashes=(1, 2, 3, 4))
    assert engine.schedule(1).batch.prefill_tokens == 16
    assert same.cached_tokens == 48
    assert (engine.prefix_queries, engine.prefix_hits) == (128, 48)


def test_blocks_longest_idle_are_lost_first_and_a_tail_before_its_head():
    """What is free is reused in the order in which it became so, a request's last block first."""
    cache = KvCache(4, 16, caching=True)
    one, other = EngineRequest(32, 1, 0, (1, 2)), EngineRequest(32, 1, 0, (3, 4))
    for request in (one, other):
        cache.take_new(request, 2)
        cache.learn(request, 32)
    cache.release(one)
    cache.release(other)
    taker = EngineRequest(16, 1, 0)
    cache.take_new(taker, 1)
    assert cache.find(one, 33) == (1, 1)
    cache.take_new(taker, 1)
    assert cache.find(one, 33) == (0, 0)
    assert cache.find(other, 33) == (2, 2)


def test_drafts_make_several_tokens_a_step():
    """With every draft accepted a step makes one token more than was drafted; with none, one."""
    sure, never = (
        scheduler(draft_tokens=3, draft_acceptance=probability, kv_blocks=32) for probability in (1.0, 0.0)
    )
    for engine, made in ((sure, 4), (never, 1)):
        request = add(engine, 10, 30)
        end(engine, engine.schedule(0))
        step = engine.schedule(1)
        assert step.tokens_for == [(request, made)]
        assert step.batch[:3] == (3, 1, 11)


@pytest.mark.parametrize("value", [{"max_num_seqs": 0}, {"draft_acceptance": 1.5}, {"kv_blocks": -1}])
def test_a_senseless_setting_is_an_error_that_names_it(value):
    """Settings are checked where they are made."""
    with pytest.raises(ValueError, match=next(iter(value))):
        EngineConfig(**value)


LOADS = st.lists(
    st.tuples(st.integers(1, 90), st.integers(1, 40), st.integers(0, 3), st.booleans()),
    min_size=1,
    max_size=25,
)


@settings(max_examples=150, deadline=None)
@given(LOADS, st.integers(9, 40), st.integers(1, 6), st.integers(2, 80), st.integers(0, 3), st.booleans())
def test_blocks_and_tokens_are_conserved(load, blocks, seqs, budget, drafts, caching):
    """Under any load every token is made once, no step is over its limits, and all blocks come back."""
    drafts = min(drafts, budget - 1)
    engine = scheduler(
        kv_blocks=blocks,
        max_num_seqs=seqs,
        max_num_batched_tokens=budget,
        draft_tokens=drafts,
        draft_acceptance=0.6,
        prefix_caching=caching,
    )
    requests = [
        add(engine, prompt, output, [100 * (family if shared else 10 + number) + at for at in range(9)])
        for number, (prompt, output, family, shared) in enumerate(load)
    ]
    for _ in range(20_000):
        step = engine.schedule(0)
        if step is None:
            break
        assert step.batch.prefill_tokens + step.batch.decoding_requests <= budget
        assert len(engine.running) <= seqs
        cache = engine.cache
        assert 0 <= cache.free <= blocks
        assert len(cache._idle) <= cache.free
        anonymous = sum(request.blocks - len(request.shared_blocks) for request in requests)
        assert anonymous + len(cache._held) + cache.free == blocks
        end(engine, step)
    assert not engine.running
    assert not engine.waiting
    assert [request.emitted for request in requests] == [request.output_tokens for request in requests]
    assert engine.cache.free == blocks
