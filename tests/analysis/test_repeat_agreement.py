"""Repeats that differ by more than chance are found and named, those that do not are left in peace."""

from __future__ import annotations

import numpy as np
import pytest

from benchkit.analysis.repeat_agreement import disagreements


def sure(measured):
    """The disagreements that chance hardly gives, by metric."""
    found = disagreements(measured)
    assert found is not None
    return {each.metric: each for each in found if each.is_sure}


def test_repeats_of_one_queue_agree(measured_of, queue):
    """Of 80 runs of three like repeats at most 4 are said to disagree."""
    rng = np.random.default_rng(1)
    alarms = sum(bool(sure(measured_of([queue(rng, 800, 0.3) for _ in range(3)]))) for _ in range(80))
    assert alarms <= 4


def test_a_repeat_on_a_slower_machine_is_found_and_named(measured_of, queue):
    """One of three repeats half as slow again: the latency is named, with a spread of about a quarter."""
    rng = np.random.default_rng(2)
    found = [
        sure(measured_of([queue(rng, 2_000, 0.2, by) for by in (1.0, 1.0, 1.5)])).get("latency_ms")
        for _ in range(20)
    ]
    named = [each for each in found if each is not None]
    assert len(named) >= 17
    assert np.mean([each.spread for each in named]) == pytest.approx(0.3, abs=0.08)
    assert named[0].words.startswith("latency_ms ±")


def test_nothing_is_said_of_one_run_or_of_short_ones(measured_of, queue):
    """A spread needs two repeats, and each must know its own variance."""
    rng = np.random.default_rng(3)
    assert disagreements(measured_of([queue(rng, 800, 0.3)])) is None
    assert disagreements(measured_of([queue(rng, 100, 0.9) for _ in range(3)])) is None
