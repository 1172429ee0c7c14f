"""A points table: a CSV that anybody can write, one row a measured load."""

from pathlib import Path

import pytest

from benchkit.analysis.imported import import_points
from benchkit.errors import ForeignFileError

ARTICLE = Path(__file__).parents[3] / "params" / "article_sweep.csv"


def write(tmp_path, text):
    path = tmp_path / "table.csv"
    path.write_text(text)
    return path


def test_the_articles_sweep_is_read():
    """The article's ten points come with their rates, latencies in ms, and no requests behind them."""
    points = import_points(ARTICLE)
    assert [point.load for point in points] == ["synchronous", "throughput", *["constant"] * 8]
    last = points[-2]
    assert (last.rate, last.requests_per_s, last.count) == (4.76, 4.43, 133)
    assert last.statistic("ttft_ms", "p99") == 75.3
    assert last.statistic("latency_ms", "mean") == 2900
    assert last.mean_in_flight == 12.84
    assert points[0].concurrency == 1
    assert points[0].rate is None
    assert all(point.records is None and point.notes for point in points)
    # Little's law holds in its open-loop rows within a tenth: they were read off correctly.
    for point in points[2:]:
        expected = point.requests_per_s * point.statistic("latency_ms", "mean") / 1e3
        assert point.mean_in_flight == pytest.approx(expected, rel=0.05)


def test_empty_cells_are_unknown(tmp_path):
    """An empty cell is null, a comment is skipped, and a name is kept."""
    [point] = import_points(write(tmp_path, "# mine\nname,rate,requests_per_s,ttft_ms.p99_9\n\na b,2,,80\n"))
    assert (point.name, point.rate, point.requests_per_s) == ("a b", 2.0, None)
    assert point.statistic("ttft_ms", "p99_9") == 80
    assert point.statistic("ttft_ms", "mean") is None
    assert point.count is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("# only comments\n", "no line but comments"),
        ("requests_per_s\n", "columns and no row"),
        ("load,rate\npoisson,1\n", "neither a rate"),
        ("request_per_s\n1\n", "did you mean 'requests_per_s'"),
        ("ttft_ms.p990\n1\n", "no column of a points table"),
        ("requests_per_s,requests_per_s\n1,2\n", "two columns"),
        ("load,requests_per_s\nstepwise,1\n", "line 2: load 'stepwise'"),
        ("rate,requests_per_s\n1\n", "line 2: 1 cells"),
        ("requests_per_s\nfast\n", "line 2: requests_per_s is 'fast'"),
        ("requests_per_s\n-1\n", "0 or more"),
        ("requests_per_s\nnan\n", "0 or more"),
        ('requests_per_s\n"1\n', "line 2: not CSV"),
    ],
)
def test_what_is_wrong_with_a_table_is_told(tmp_path, text, says):
    """Line and column of a mistake are named."""
    with pytest.raises(ForeignFileError, match=says) as caught:
        import_points(write(tmp_path, text))
    assert "table.csv" in str(caught.value)
