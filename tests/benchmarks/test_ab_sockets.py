"""What the comparison through real sockets makes of its findings."""

from ab_sockets import Found, as_markdown, missed

SAME, SLOWER = (
    Found(1.001, 0.998, 1.004, differs=False, sd=0.002),
    Found(1.049, 1.045, 1.053, differs=True, sd=0.003),
)


def test_findings_become_a_table_and_goals():
    """A row a true change, with how many intervals hold it; what is missed is named."""
    table = as_markdown([SAME, SAME], [SLOWER, SLOWER])
    assert "| +5 % | 2 of 2 | +4.90 % | +4.90 % | 2 of 2 | 0.30 % |" in table
    assert missed([SAME, SAME._replace(differs=True)], [SLOWER]) == []
    assert missed([SLOWER, SLOWER], [SAME]) == ["1 of 1 not found", "2 alarms of 2"]
