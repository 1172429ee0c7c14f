"""The verdict as it forms."""

from benchkit.analysis.so_far import so_far
from benchkit.load.progress import Progress


def test_nothing_is_said_against_a_calm_load():
    """A load of which nothing is known yet, and one that goes well, have no reasons."""
    assert so_far(Progress()).verdict is None
    calm = Progress(answered=100, late_max_ms=0.4, pickup_lag_p99_ms=0.2, cpu_share=0.3, shared_share=0.01)
    assert so_far(calm) == (None, ())


def test_the_worst_reason_comes_first():
    """A client that is too late makes the load invalid before its end, with the remedy."""
    found = so_far(Progress(answered=10, failed=2, late_max_ms=60.0, cpu_share=0.97))
    assert found.verdict == "invalid"
    assert "CPU of the busiest load process" in found.reasons[0]
    assert "raise `workers`" in found.reasons[0]
    assert len(found.reasons) == 3
