"""What is said of a run before it is sent."""

from benchkit.experiments.preview import preview
from benchkit.parameters import resolve


def test_repeats_until_sure_say_when_is_looked():
    """With `repeats: 0` it is said when is looked and how many repeats there may be."""
    assert "repeats:  until sure: 5, 10 or 20" in preview(resolve({"repeats": 0})).text()
    assert "repeats:  3" in preview(resolve({"repeats": 3})).text()
    assert "repeats:" not in preview(resolve({})).text()
