"""Windows with and without holes."""

from __future__ import annotations

import numpy as np
import pytest

from benchkit.analysis.metrics import Window, build_summary


def test_a_window_holds_its_start_and_not_its_end():
    """Half open, so that neighbouring windows share no stamp; null lies in none."""
    stamps = np.array([9.0, 10.0, 19.0, 20.0, np.nan])
    assert Window(10, 20).holds(stamps).tolist() == [False, True, True, False, False]


def test_the_windows_of_repeats_leave_out_what_lies_between():
    """Drain and warm-up between two repeats hold no stamps and have no length."""
    window = Window.union([Window(50, 60), Window(10, 30)])
    assert (window.start_ns, window.end_ns, window.length_s) == (10, 60, 30e-9)
    assert window.parts == (Window(10, 30), Window(50, 60))
    assert window.holds(np.array([10, 30, 49, 50, 60])).tolist() == [True, False, False, True, False]


@pytest.mark.parametrize("windows", [[], [Window(0, 20), Window(10, 30)]])
def test_no_windows_or_overlapping_ones_are_no_stretch(windows):
    """A union of nothing, or of windows that would count twice, is refused."""
    with pytest.raises(ValueError, match="windows"):
        Window.union(windows)


def test_a_summary_of_two_repeats_counts_only_their_windows(row, records):
    """Windows 0-100 and 900-1000 ms: rates are over 200 ms, occupancy ignores the pause.

    Two ok requests ended in them -> 10/s; in flight 40 + 60 request-ms over 200 ms -> 0.5; the request of the
    second warm-up ends at 850 and counts in nothing.
    """
    run = records(
        [
            row(10, [(30, 1), (50, 1)]),
            row(800, [(820, 1), (850, 1)], phase="warmup", repeat=1),
            row(920, [(940, 1), (980, 1)], repeat=1),
        ]
    )
    windows = [{"start_ns": 0, "end_ns": 100_000_000}, {"start_ns": 900_000_000, "end_ns": 1_000_000_000}]
    summary = build_summary(
        run.requests,
        run.chunks,
        window=Window(0, 1_000_000_000),
        objectives=[],
        load_facts={"windows": windows},
        parameters={},
    )
    whole = summary["windows"]["whole"]
    assert whole["length_s"] == pytest.approx(0.2)
    assert whole["rates"]["requests_per_s"]["value"] == pytest.approx(10.0)
    assert whole["metrics"]["in_flight"]["mean"] == pytest.approx(0.5)
    assert whole["metrics"]["chunk_gap_ms"]["count"] == 2
    reasons = {reason["name"]: reason["value"] for reason in summary["validity"]["reasons"]}
    assert reasons["short_window"] == pytest.approx(100 / 59.0)
