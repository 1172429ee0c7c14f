"""Drift is found where it is, named, and hardly ever where it is not."""

from __future__ import annotations

import numpy as np
import pytest

from benchkit.analysis.drift import drifts


def sure(measured):
    """The drifts that chance hardly gives, by metric."""
    found = drifts(measured)
    assert found is not None
    return {each.metric: each for each in found if each.is_sure}


@pytest.mark.parametrize(("count", "load"), [(600, 0.2), (3_000, 0.5)])
def test_a_queue_at_rest_hardly_ever_drifts(measured_of, queue, count, load):
    """Of 80 runs at rest at most 4 are said to drift: at a true rate of 1 % more would come about once in 2,000."""
    rng = np.random.default_rng(count)
    alarms = sum(bool(sure(measured_of([queue(rng, count, load)]))) for _ in range(80))
    assert alarms <= 4


def test_a_server_that_gets_slower_is_found_and_named(measured_of, queue):
    """Services that grow by 40 % in the course of a run show in the latency, with about that change."""
    rng = np.random.default_rng(1)
    changes = []
    for _ in range(20):
        at, waits, latency = queue(rng, 10_000, 0.2, np.linspace(1.0, 1.4, 10_000))
        found = sure(measured_of([(at, waits, latency)]))
        if "latency_ms" in found:
            changes.append(found["latency_ms"].change)
    assert len(changes) >= 17
    assert 0.3 < np.mean(changes) < 0.7


def test_drift_within_repeats_is_told_apart_from_steps_between_them(measured_of, queue):
    """A level that differs from repeat to repeat is no drift; one that rises inside each of them is."""
    rng = np.random.default_rng(2)
    runs = [queue(rng, 600, 0.2) for _ in range(3)]
    stepped = [(at, waits, latency * by) for (at, waits, latency), by in zip(runs, (1, 2, 3), strict=True)]
    assert "latency_ms" not in sure(measured_of(stepped))
    risen = [(at, waits, latency * np.linspace(1, 2, 600)) for at, waits, latency in runs]
    assert sure(measured_of(risen))["latency_ms"].change == pytest.approx(2 / 3, abs=0.25)


def test_a_run_that_is_short_against_its_memory_is_not_judged(measured_of, queue):
    """At high load neighbours know of each other: ten batches of few memories would drift by chance."""
    assert drifts(measured_of([queue(np.random.default_rng(3), 500, 0.9)])) is None


def test_constants_do_not_drift_and_straight_lines_do(measured_of):
    """Without chance there is no error to hold a slope against: rounding is none, a line is."""
    at = np.arange(200.0)
    level = np.full(200, 0.5)
    assert not {"ttft_ms", "latency_ms"} & set(sure(measured_of([(at, level, level)])))
    line = sure(measured_of([(at, level, np.linspace(0.4, 0.6, 200))]))
    assert line["latency_ms"].change == pytest.approx(0.4, rel=0.02)
    assert line["latency_ms"].words == "latency_ms +40 %"
