"""What a capacity analysis accepts and refuses."""

import pytest

from benchkit.errors import InvalidParameter, ParameterConflict, UnknownParameter
from benchkit.parameters import CapacityParameters, resolve


def test_defaults_ask_nothing_twice():
    """Nothing has to be given: the latest sources, their own objectives, no target."""
    asked = resolve({}, CapacityParameters)
    assert (asked.sources, asked.slo, asked.target_rps, asked.profile) == ((), (), 0.0, "")
    assert (asked.headroom, asked.spare, asked.zones, asked.routing) == (0.0, 0, 1, "unstated")


def test_each_parameter_is_described():
    """In one sentence."""
    for name, field in CapacityParameters.model_fields.items():
        assert field.description, name
        assert field.description.endswith("."), name


@pytest.mark.parametrize("sources", ["a.csv", ["a.csv"], "[a.csv]"])
def test_one_source_or_several(sources):
    """A text is a list of one, and a list may come as text."""
    assert resolve({"sources": sources}, CapacityParameters).sources == ("a.csv",)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"target_rps": 5, "target_users": 5}, "say the same thing twice"),
        ({"think_time_s": 5}, "without 'target_users'"),
        ({"headroom": 0.2, "dispersion": 2}, "leave one of them out"),
    ],
)
def test_contradictions_are_refused(values, said):
    """With the two names and the remedy."""
    with pytest.raises(ParameterConflict, match=said):
        resolve(values, CapacityParameters)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"target_rps": -1}, "'target_rps' must be at least 0"),
        ({"zones": 0}, "'zones' must be at least 1"),
        ({"routing": "sticky"}, "one of 'unstated', 'keeps_hits'"),
        ({"sources": 7}, "'sources' must be"),
    ],
)
def test_values_out_of_range_are_refused(values, said):
    """Named, with the limit."""
    with pytest.raises(InvalidParameter, match=said):
        resolve(values, CapacityParameters)


def test_a_near_name_is_offered():
    """A slip of the pen."""
    with pytest.raises(UnknownParameter, match="did you mean 'target_rps'"):
        resolve({"target_rp": 5}, CapacityParameters)
