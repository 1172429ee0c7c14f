"""docs/metrics.md and docs/verdict.md say what the code does."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchkit import objectives
from benchkit.analysis.catalogue import METRICS, RATES
from benchkit.analysis.reference import fill
from benchkit.analysis.thresholds import THRESHOLDS

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize(
    ("name", "entries"), [("metrics.md", (*METRICS, *RATES)), ("verdict.md", THRESHOLDS)]
)
def test_the_document_has_the_codes_tables(name, entries):
    """Its tables are those that the code would write now; otherwise run benchkit.analysis.reference."""
    text = (DOCS / name).read_text(encoding="utf-8")
    assert fill(text) == text
    for entry in entries:
        assert f"| `{entry.name}` |" in text


def test_an_unknown_table_is_an_error():
    """A typing error in a marker does not pass silently."""
    with pytest.raises(KeyError):
        fill("<!-- table: metrix -->\n<!-- end -->")


def test_every_metric_and_rate_can_be_an_objective():
    """The grammar of objectives and the catalogue know the same names and units."""
    units = {metric.name: metric.unit.partition("/")[0] for metric in METRICS}
    assert dict(objectives.METRICS) == units
    shares = {"error_rate", "shed_rate"}
    assert {rate.name: rate.unit for rate in RATES} == {
        name: unit for name, unit in objectives.RATES.items() if name not in shares
    }
    assert {metric.name for metric in METRICS if metric.weight == "request"} == set(objectives.PER_REQUEST)
