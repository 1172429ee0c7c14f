"""The small live charts."""

from hypothesis import given
from hypothesis import strategies as st

from benchkit.widgets.strip import Strip, _round_up


@given(st.lists(st.one_of(st.none(), st.floats(0, 1e9)), min_size=2, max_size=50))
def test_a_chart_stays_inside_its_frame(values):
    """Whatever the values, every point lies inside, and what is unknown leaves a hole."""
    strip = Strip("latency <of>", "ms", ("a", "b"))
    for at, value in enumerate(values):
        strip.add(float(at), value, None)
    html = strip.html()
    assert "latency &lt;of&gt;" in html
    for line in html.split('points="')[1:]:
        for place in line.split('"')[0].split():
            x, y = map(float, place.split(","))
            assert 0 <= x <= 300
            assert 0 <= y <= 84
    assert ("no value" in html) == (values[-1] is None)


@given(st.floats(1e-6, 1e9))
def test_the_top_is_round_and_not_far_above(value):
    """The axis ends at 1, 2 or 5 of some power of ten."""
    top = _round_up(value)
    assert value * 0.999_9 <= top <= value * 2.6


def test_a_new_run_begins_anew():
    """Time that goes backwards is another load."""
    strip = Strip("tokens", "tokens/s")
    strip.add(10.0, 1.0)
    strip.add(2.0, 3.0)
    assert strip.text() == "tokens: 3 tokens/s"
    assert len(strip._points) == 1
