"""What the server counts and what the client knows agree where they should, and only there."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchkit.analysis.conservation import answered, generated, held
from benchkit.analysis.server_said import counted, rise, said_by_server
from benchkit.analysis.window import Window
from benchkit.records.chunks import Chunks
from benchkit.records.kinds import Outcome

WINDOW = Window(0, 60_000_000_000)
ENDED, MADE = "vllm:request_success_total", "vllm:generation_tokens_total"
OUTCOMES = [str(outcome) for outcome in Outcome]


def pages(at_s, name, values, labels="{}"):
    """What a server said of one thing at these times."""
    return pd.DataFrame(
        {
            "time_ns": np.round(np.asarray(at_s, float) * 1e9).astype(np.int64),
            "source": "server",
            "name": name,
            "labels": labels,
            "value": np.broadcast_to(np.asarray(values, float), len(at_s)),
        }
    )


def states(at_s, running, waiting):
    """Pages of a server's queue."""
    return pd.concat(
        [
            pages(at_s, "vllm:num_requests_running", running),
            pages(at_s, "vllm:num_requests_waiting", waiting),
        ]
    )


def load(columns_of, seed=1, count=600, latency_s=2.0):
    """Requests of some seconds that come at ten a second for a minute."""
    rng = np.random.default_rng(seed)
    sent = np.sort(rng.uniform(0, 60, count))
    return columns_of(sent, sent + rng.exponential(latency_s, count))


def under_way(columns, at_s):
    """How many requests are between send and end, one by one."""
    at = np.asarray(at_s)[:, None] * 1e9
    return ((columns.sent <= at) & (columns.end > at)).sum(axis=1)


def tokens_of(columns, each, known=True):
    """As many events of one token for each request, evenly between its send and its end."""
    count = columns.sent.size
    share = np.arange(1, each + 1) / each
    ns = (columns.sent[:, None] + share * (columns.end - columns.sent)[:, None]).astype(np.int64).ravel()
    return Chunks(
        np.arange(count + 1, dtype=np.int64) * each,
        ns,
        ns,
        np.ones(ns.size, np.int32) if known else np.zeros(ns.size, np.int32),
        np.full(count, known),
        np.zeros(ns.size, np.bool_),
    )


def test_a_server_that_holds_what_the_client_sent_agrees(columns_of):
    """Pages that are a tenth of a second old, and requests that take 10 ms on the way, are no disagreement."""
    columns = load(columns_of)
    at = np.arange(0.25, 60, 0.5)
    late = np.random.default_rng(2).uniform(0, 0.1, at.size)
    theirs = under_way(columns, at - late)
    seats = np.minimum(theirs, 16)
    found = held(columns, WINDOW, states(at, seats, theirs - seats))
    assert found.gap == 0
    assert found.ours == pytest.approx(found.servers, rel=0.1)


@pytest.mark.parametrize(("factor", "least"), [(1.4, 0.25), (0.6, 0.25)])
def test_requests_that_only_one_side_sees_are_found(columns_of, factor, least):
    """Somebody else's load on the server, or a queue before it, is a gap whichever way it points."""
    columns = load(columns_of)
    at = np.arange(0.25, 60, 0.5)
    found = held(columns, WINDOW, states(at, under_way(columns, at) * factor, 0))
    assert least < found.gap < 0.45
    assert "by the server" in found.words


def test_little_is_said_of_few_pages(columns_of):
    """Fewer than five pages in the window, or none at all, are not judged; those outside of it do not count."""
    columns = load(columns_of)
    assert held(columns, WINDOW, None) is None
    assert held(columns, WINDOW, pages([1, 2], "python_info", 1)) is None
    assert held(columns, WINDOW, states([-2, -1, 1, 2, 3, 4, 61, 62], 20, 0)) is None
    assert held(columns, WINDOW, states([1, 2, 3, 4, 5], 20, 0)) is not None


@given(st.integers(0, 2**32 - 1), st.floats(0, 30), st.floats(31, 100))
def test_the_servers_true_count_always_agrees(columns_of, seed, first, last):
    """Whenever the first and the last page come, what ended in between is what the server counted."""
    columns = load(columns_of, seed, 200)
    ended = [(columns.end <= at * 1e9).sum() for at in (first, last)]
    assert answered(columns, pages([first, last], ENDED, ended)).gap == 0
    chunks = tokens_of(columns, 10)
    made = [(chunks.ns <= at * 1e9).sum() for at in (first, last)]
    wanted = np.full(200, 10.0)
    assert generated(columns, chunks, wanted, pages([first, last], MADE, made)).gap == 0


@pytest.mark.parametrize(("counted_s", "gap"), [(600, 0.0), (601, 0.0), (660, 0.1), (540, 0.1)])
def test_requests_of_others_and_lost_ones(columns_of, counted_s, gap):
    """A single stray request is granted; a tenth more or less is a tenth."""
    found = answered(load(columns_of), pages([-1, 100], ENDED, [50, 50 + counted_s]))
    assert found.gap == pytest.approx(gap, abs=0.002)


def test_what_broke_off_may_have_been_counted_or_not(columns_of):
    """A request that was cut or given up is known to neither side: both of the server's counts are right."""
    base = load(columns_of)
    outcome = base.outcome.copy()
    outcome[:30] = OUTCOMES.index("failed")
    outcome[30:60] = OUTCOMES.index("incomplete")
    end = base.end.copy()
    end[30:60] = np.nan
    columns = columns_of(base.sent / 1e9, end / 1e9, outcome)
    for count in (540, 570, 600):
        assert answered(columns, pages([-1, 200], ENDED, [0, count])).gap == 0
    assert answered(columns, pages([-1, 200], ENDED, [0, 640])).gap > 0.05


def test_tokens_of_answers_that_broke_off_may_have_been_made(columns_of):
    """Of a cut answer the server may have made all that was asked for; of whole ones it made what arrived."""
    base = load(columns_of)
    outcome = base.outcome.copy()
    outcome[:60] = OUTCOMES.index("failed")
    columns = columns_of(base.sent / 1e9, base.end / 1e9, outcome)
    chunks, wanted = tokens_of(columns, 10), np.full(600, 20.0)
    for count in (5_400, 6_000, 6_600):
        assert generated(columns, chunks, wanted, pages([-1, 200], MADE, [0, count])).gap == 0
    assert generated(columns, chunks, wanted, pages([-1, 200], MADE, [0, 7_000])).gap > 0.05
    assert generated(columns, chunks, wanted, pages([-1, 200], MADE, [0, 5_000])).gap > 0.05


def test_tokens_that_nobody_knows_are_not_compared(columns_of):
    """Where no event's tokens are known there is nothing to hold against the server."""
    columns = load(columns_of)
    said = pages([-1, 200], MADE, [0, 6_000])
    assert generated(columns, tokens_of(columns, 10, known=False), np.full(600, 10.0), said) is None


def test_a_counter_that_falls_is_not_compared(columns_of):
    """The server began anew: what it had counted is lost."""
    assert answered(load(columns_of), pages([-1, 30, 100], ENDED, [50, 300, 200])) is None


def test_a_label_that_appears_late_had_counted_nothing():
    """Servers write a label from its first request on; the counts of all labels and engines are one."""
    said = pd.concat(
        [
            pages([0, 1, 2], ENDED, [5, 6, 7], '{"finished_reason": "stop"}'),
            pages([1, 2], ENDED, [10, 20], '{"finished_reason": "length"}'),
        ]
    )
    assert counted(said, (ENDED,)) == (22.0, 0, 2_000_000_000)
    assert rise(said, (ENDED,)) == 12.0
    assert counted(said, (MADE,)) is None


def test_only_the_server_counts_as_the_server():
    """What the machine said of itself is not the server's."""
    said = pages([1.0], ENDED, 1)
    assert said_by_server(said.assign(source="host")) is None
    assert len(said_by_server(said, WINDOW)) == 1
    assert said_by_server(said, Window(0, 10)) is None
