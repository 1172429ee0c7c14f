"""Which requests lost most time, where, and why: tables written by hand, times in ms."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchkit.analysis.columns import read_columns
from benchkit.analysis.slowest import slowest
from benchkit.analysis.slowest_neighbours import Neighbours
from benchkit.analysis.slowest_reasons import HARDLY, NO_CAUSE, in_words, reasons, tally

MS = 1_000_000


@pytest.fixture
def slow(row: Any, records: Any) -> Any:
    """Finds the slowest of thirty calm requests and of the rows given: their first token after 50 ms, then each 10."""

    def find(
        *rows: dict[str, Any], telemetry: pd.DataFrame | None = None, count: int = 20, **kept: Any
    ) -> Any:
        calm = [_calm(row, 10_000 + 1_000.0 * at, at) for at in range(30)]
        tables = records([*calm, *rows])
        window = {"start_ns": 0, "end_ns": 100_000 * MS}
        run = SimpleNamespace(
            manifest={"load": {"window": window}},
            requests=tables.requests,
            chunks=tables.chunks,
            telemetry=telemetry,
        )
        return slowest(run, count)

    return find


def _calm(row: Any, sent: float, index: int, **columns: Any) -> dict[str, Any]:
    chunks = [(sent + 50 + 10 * at, 1) for at in range(11)]
    return row(sent, chunks, index=index, prompt_tokens=100, **columns)


def _first_reason(found: Any) -> str:
    return reasons(found.requests[0], found.usual)[0].kind


def test_what_is_usual_is_the_median(slow: Any) -> None:
    """A first token after 50 ms, a token every 10: nobody lost time."""
    found = slow()
    assert (found.usual.ttft_ms, found.usual.pace_ms, found.usual.pause_ms) == (50.0, 10.0, 10.0)
    assert found.requests == ()
    assert found.of == 30


def test_long_answers_are_not_slow(slow: Any, row: Any) -> None:
    """Time lost is against a usual request of as many tokens."""
    found = slow(row(1_000, [(1_050 + 10 * at, 1) for at in range(500)], index=99))
    assert found.requests == ()


def test_the_slowest_come_first_and_no_more_than_asked(slow: Any, row: Any) -> None:
    """Ordered by the time that each lost; the count limits them."""
    late = [row(1_000 * at, [(1_000 * at + 50 + 100 * at, 1)], index=at) for at in range(1, 6)]
    found = slow(*late, count=3)
    assert [each.index for each in found.requests] == [5, 4, 3]
    assert [each.lost_ms for each in found.requests] == pytest.approx([500, 400, 300])


@pytest.mark.parametrize(
    ("columns", "part", "words"),
    [
        ({"scheduled_ms": 700}, "client", "the client sent it 300 ms late"),
        (
            {"scheduled_ms": 700, "connect_start_ms": 700, "connected_ms": 1_000},
            "connecting",
            "opening its connection took 300 ms",
        ),
        (
            {"scheduled_ms": 700, "waited_ms": 300},
            "held back",
            "it waited 300 ms under max_in_flight before it was sent",
        ),
    ],
)
def test_time_lost_before_sending(slow: Any, row: Any, columns: Any, part: str, words: str) -> None:
    """The client's own delay, connecting and waiting under the cap are told apart."""
    found = slow(_calm(row, 1_000, 99, **columns))
    (request,) = found.requests
    assert (request.part, request.lost_ms) == (part, pytest.approx(300))
    assert in_words(request, found.usual) == words


def test_a_wait_behind_other_prompts(slow: Any, row: Any) -> None:
    """Prompts sent before it that had no token yet were ahead of it."""
    others = [row(900 + at, [(1_240, 1), (1_250, 1)], index=50 + at, prompt_tokens=500) for at in range(2)]
    found = slow(*others, row(1_000, [(1_250, 1), (1_260, 1)], index=99))
    request = next(each for each in found.requests if each.index == 99)
    assert (request.part, request.ahead_tokens, request.under_way) == ("first token", 1_000, 2)
    assert request.wait_prompts == 2
    assert reasons(request, found.usual)[0].kind == "prompts ahead of it"


def test_the_servers_queue_is_seen_in_its_metrics(slow: Any, row: Any) -> None:
    """A reading with waiting requests during its wait names the queue."""
    said = [(1_100 * MS, "server", "vllm:num_requests_waiting", "{}", 7.0)]
    telemetry = pd.DataFrame(said, columns=["time_ns", "source", "name", "labels", "value"])
    found = slow(row(1_000, [(1_250, 1), (1_260, 1)], index=99), telemetry=telemetry)
    assert _first_reason(found) == "the server's queue"
    assert "up to 7 requests waited" in in_words(found.requests[0], found.usual)


def test_a_long_prompt_is_its_own_reason(slow: Any, row: Any) -> None:
    """A prompt many times as long as usual explains a late first token."""
    found = slow(row(1_000, [(1_250, 1), (1_260, 1)], index=99, prompt_tokens=4_000))
    assert _first_reason(found) == "a long prompt"


def test_a_pause_in_which_a_prompt_was_read(slow: Any, row: Any) -> None:
    """Another's first token comes with the token that ends the pause."""
    paused = row(1_000, [(1_050, 1), (1_060, 1), (1_260, 1), (1_270, 1)], index=99)
    other = row(1_065, [(1_260.5, 1)], index=50, prompt_tokens=2_000)
    found = slow(paused, other)
    request = next(each for each in found.requests if each.index == 99)
    assert (request.part, request.pause.prompts, request.pause.prompt_tokens) == ("pauses", 1, 2_000)
    assert request.pause.length_ms == pytest.approx(200)
    assert reasons(request, found.usual)[0].kind == "other prompts in its pause"


def test_a_pause_that_all_streams_share(slow: Any, row: Any) -> None:
    """When nobody had a token and no prompt was read, the server or the network stood still."""
    streams = [
        row(1_000, [(1_050 + at, 1), (1_060 + at, 1), (1_560 + at, 1), (1_570 + at, 1)], index=50 + at)
        for at in range(4)
    ]
    found = slow(*streams)
    assert tally(found) == (("a standstill", 4),)
    assert found.requests[0].pause.beside == found.requests[0].pause.silent == 3


def test_a_pause_of_one_stream_alone(slow: Any, row: Any) -> None:
    """While others went on, it was this request's own."""
    steady = [
        row(1_000, [(1_050 + at + 10 * token, 1) for token in range(60)], index=50 + at) for at in range(4)
    ]
    paused = row(1_000, [(1_050, 1), (1_060, 1), (1_560, 1), (1_570, 1)], index=99)
    found = slow(*steady, paused)
    assert found.requests[0].index == 99
    assert _first_reason(found) == "a pause of its own"


def test_a_pause_of_the_client(slow: Any, row: Any, records: Any) -> None:
    """A token that lay in the kernel for most of the pause was there: the client paused."""
    paused = row(1_000, [(1_050, 1), (1_060, 1), (1_560, 1), (1_570, 1)], index=99)
    paused["chunk_loop_ns"][2] += 400 * MS
    found = slow(paused)
    assert _first_reason(found) == "a pause of the client"


def test_who_did_not_end_counts_with_what_was_seen(slow: Any, row: Any) -> None:
    """An incomplete request has at least the time until it was given up; a failed one is not slow."""
    cut = row(1_000, [(1_050, 1)], end=3_000, index=98, outcome="incomplete")
    failed = row(1_000, [], end=9_000, index=97, outcome="failed")
    found = slow(cut, failed)
    assert [(each.index, each.is_over) for each in found.requests] == [(98, False)]
    assert found.requests[0].lost_ms == pytest.approx(1_950)


def test_no_cause_is_called_so(slow: Any, row: Any) -> None:
    """Nothing recorded sets it apart, and that is what is said; a small loss is hardly slow."""
    found = slow(
        row(1_000, [(1_250, 1), (1_260, 1)], index=99), row(5_000, [(5_052, 1), (5_062, 1)], index=98)
    )
    told = {each.index: in_words(each, found.usual) for each in found.requests}
    assert told[99] == NO_CAUSE
    assert told[98].startswith(HARDLY)


def test_without_first_tokens_it_says_why_there_are_none(row: Any, records: Any) -> None:
    """Records without a first token, or none at all, have no slowest request."""
    for rows, why in (([], "no records of single requests"), ([row(0, [], end=10)], "no first token")):
        tables = records(rows)
        run = SimpleNamespace(manifest={}, requests=tables.requests, chunks=tables.chunks)
        found = slowest(run)
        assert found.requests == ()
        assert why in found.why_none


_STAMP = st.integers(0, 1_000)


@given(st.lists(st.tuples(_STAMP, _STAMP, _STAMP, st.integers(1, 99)), max_size=30), _STAMP, _STAMP)
def test_neighbours_count_as_a_loop_would(lives: list[tuple[int, ...]], at: int, until: int) -> None:
    """Sent, first token, end: who is under way, who waits, whose first token falls between, one by one."""
    table = pd.DataFrame(
        [
            {"sent_ns": a, "first_token_ns": a + b, "end_ns": a + b + c, "prompt_tokens": n, "outcome": "ok"}
            for a, b, c, n in lives
        ],
        columns=["sent_ns", "first_token_ns", "end_ns", "prompt_tokens", "outcome"],
    )
    beside = Neighbours(table, read_columns(table))
    moment, later = np.array([float(at)]), np.array([float(max(at, until))])
    first = [(a + b, n) for a, b, _, n in lives]
    assert beside.under_way(moment)[0] == sum(a <= at < a + b + c for a, b, c, _ in lives)
    assert beside.waiting(moment).tokens[0] == sum(n for a, b, _, n in lives if a <= at < a + b)
    assert beside.first_tokens_between(moment, later).tokens[0] == sum(
        n for t, n in first if at < t <= later[0]
    )
