"""The waits of the last seconds, as they are told while a load goes on."""

import numpy as np
import pytest

from benchkit.load.answer import Answer
from benchkit.load.live_numbers import SPAN_S, LastSeconds, Recent
from benchkit.load.progress import ProgressKeeper

MS = 1_000_000


def answer(*, scheduled_ms=0.0, sent_ms=1.0, stamps_ms=()):
    """An answer with some chunks."""
    made = Answer({}, int(scheduled_ms * MS))
    made.sent_ns = int(sent_ms * MS)
    made.chunk_ns.extend(int(stamp * MS) for stamp in stamps_ms)
    return made


def test_quantiles_are_those_of_the_waits():
    """First tokens and gaps, told in pieces and added up, have the quantiles of the whole within 1.1 %."""
    random = np.random.default_rng(1)
    gaps = random.lognormal(3, 0.5, 4_000)
    recent, told = Recent(), LastSeconds()
    growing = answer(sent_ms=0.0)
    at = 40.0
    for part in np.split(gaps, 8):
        for gap in part:
            growing.chunk_ns.append(int(at * MS))
            at += gap
        told.add(1.0, recent.told([growing]))
    found = told.quantiles_ms("gaps", (0.5, 0.95))
    assert found == pytest.approx(np.quantile(gaps, (0.5, 0.95)), rel=0.03)
    (first,) = told.quantiles_ms("ttft", (0.5,))
    assert first == pytest.approx(40.0, rel=0.025)


def test_nothing_is_counted_twice():
    """Each gap counts once, whether its answer is under way, ends, or began again."""
    recent = Recent()
    one = answer(stamps_ms=(10, 20, 30))
    first = recent.told([one])
    assert sum(count for _, count in first["gaps"]) == 2
    assert recent.told([one])["gaps"] == []
    one.chunk_ns.append(40 * MS)
    recent.ended(one)
    last = recent.told([])
    assert sum(count for _, count in last["gaps"]) == 1
    assert last["ttft"] == []
    again = answer(stamps_ms=(10, 20, 30))
    recent.told([again])
    again.begin_attempt()
    again.chunk_ns.append(50 * MS)
    assert len(recent.told([again])["ttft"]) == 1


def test_only_the_clients_own_delay_is_late():
    """Waiting under a cap and connecting are nobody's delay but the plan's and the server's."""
    recent = Recent()
    one = answer(scheduled_ms=10.0, sent_ms=45.0)
    one.waited_ns = 20 * MS
    one.connect_start_ns, one.connected_ns = 31 * MS, 41 * MS
    recent.sent(one)
    assert recent.told([])["late_max_ns"] == 5 * MS


def test_old_waits_are_forgotten():
    """What is older than the last seconds plays no part."""
    told = LastSeconds()
    told.add(0.0, {"ttft": [(100, 5)], "gaps": [], "late_max_ns": 7 * MS})
    told.add(SPAN_S + 1, {"ttft": [(320, 1)], "gaps": [], "late_max_ns": MS})
    assert told.quantiles_ms("ttft", (0.5,)) == pytest.approx((2**10 / 1e3,), rel=0.02)
    assert told.late_max_ms == 1.0
    assert told.quantiles_ms("gaps", (0.5,)) is None


def test_progress_adds_the_workers_up():
    """Counts add up over workers, and of how the client behaved the worst is told."""
    seen = []
    keeper = ProgressKeeper(3.0, 33.0, lambda p: seen.append((p.sent, p.cpu_share)))
    none = {"ttft": [], "gaps": [], "late_max_ns": 0}
    lives = [
        {
            "tokens": 40,
            "recent": none,
            "cpu_share": 0.2,
            "events": 10,
            "shared_events": 1,
            "loop_gap_max_ns": 2 * MS,
        },
        {
            "tokens": 60,
            "recent": none,
            "cpu_share": 0.4,
            "events": 10,
            "shared_events": 0,
            "loop_gap_max_ns": None,
        },
    ]
    for live in lives:
        keeper.heard(2.0, live)
    keeper.update(2.0, [{"sent": 3}, {"sent": 4, "in_flight": 2}], lives)
    keeper.update(2.2, [{"sent": 30}], lives)
    p = keeper.progress
    assert seen == [(7, 0.4)]
    assert (p.tokens, p.tokens_per_s, p.in_flight) == (100, 50.0, 2)
    assert (p.loop_gap_max_ms, p.shared_share) == (2.0, 0.05)
