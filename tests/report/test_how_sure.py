"""What a report says of how sure its numbers are."""

from typing import Any

from benchkit.report import sections
from benchkit.report.headline import headline


def test_a_single_run_says_how_many_independent_requests_it_is_worth(make_point: Any) -> None:
    """Its intervals come from its own memory; the steady part has a table of its own, or a reason why there is none."""
    point = make_point(rate=20.0)
    html = sections.metrics(point.records).html
    worth = point.summary["windows"]["whole"]["intervals"]["effective_requests"]
    assert f"say as much as {worth:,.0f} independent ones" in html
    assert "The same over the steady part alone" in html or "No steady part is told apart" in html
    assert " to " in headline(point.records).html


def test_repeats_say_what_lies_between_them(make_point: Any) -> None:
    """Both parts of the variance are named: chance inside a run, and what longer runs would not lessen."""
    point = make_point(rate=20.0, repeats=3)
    told = point.summary["windows"]["whole"]["intervals"]
    html = sections.metrics(point.records).html
    assert "95 % intervals from 3 runs" in html
    parts = told["variance"]["latency_ms"]
    share = 100 * parts["within"] / (parts["within"] + parts["between"])
    assert f"{share:.0f} % for latency" in html
