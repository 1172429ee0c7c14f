"""How sure the numbers of a summary are, as they are shown."""

import pytest

from benchkit.report.precision import between, doubt, limits_of, measured


@pytest.mark.parametrize(
    ("value", "limits", "shown", "between_shown"),
    [
        (51.234, (48.91, 53.66), "51.2", "48.9 to 53.7"),
        (51.234, (51.2301, 51.2379), "51.234", "51.230 to 51.238"),
        (0.0123456, (0.0119, 0.0128), "0.01235", "0.01190 to 0.01280"),
        (12_345.6, (11_000.0, 13_700.0), "12,346", "11,000 to 13,700"),
        (5.0, (5.0, 5.0), "5", "5.00 to 5.00"),
    ],
)
def test_digits_are_those_that_the_interval_leaves(value, limits, shown, between_shown):
    """Two digits of the half-width, never more than five of the number."""
    assert measured(value, limits) == shown
    assert between(*limits) == between_shown


def test_limits_are_read_of_metrics_and_of_rates():
    """A metric has limits by statistic, a rate its own; what is refused has none."""
    assert limits_of({"ci95": {"p99": [1, 2], "mean": None}}, "p99") == (1.0, 2.0)
    assert limits_of({"ci95": {"p99": [1, 2], "mean": None}}, "mean") is None
    assert limits_of({"ci95": [3, 4]}) == (3.0, 4.0)
    assert limits_of({"ci95": None}, "p99") is None


def test_what_is_refused_says_why():
    """The summary's own words; where it has none, the size of the sample; nothing where there are limits."""
    entry = {
        "count": 120,
        "mean": 4.0,
        "p99": 9.0,
        "ci95": {"mean": [3, 5]},
        "notes": {"p99": "not enough data: n/τ = 12"},
    }
    assert doubt("ttft_ms", entry, "mean") == ""
    assert doubt("ttft_ms", entry, "p99") == "not enough data: n/τ = 12"
    bare = {"count": 120, "p99": 9.0, "p50": 4.0, "ci95": None}
    assert doubt("ttft_ms", bare, "p99").startswith("not enough data: 120 of the 368")
    assert doubt("ttft_ms", bare, "p50") == ""
    assert doubt("itl_ms", bare, "p99") == ""
