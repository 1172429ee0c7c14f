"""Which runs of two sides belong together."""

import pytest

from benchkit.analysis.compared_run import ComparedRun
from benchkit.analysis.pairing import pairing
from benchkit.analysis.points import LoadPoint
from benchkit.errors import InvalidParameter

SPEC = {"load": "poisson", "rate": 4.0, "burstiness": 1.0, "input_tokens": 64, "output_tokens": 16}


def run(seed=None, *, repeat=0, name="", **spec):
    """A run of a seed; without one, a run of a tool that tells of none."""
    manifest = {}
    if seed is not None:
        manifest = {"plan_spec": {**SPEC, "seed": seed, **spec}, "parameters": {"seed": seed}}
    return ComparedRun(name or f"{seed}/{repeat}", LoadPoint(name, "poisson", {}, manifest=manifest), repeat)


def names(side):
    """What the runs of a side are called."""
    return [each.name for each in side]


def test_runs_of_the_same_times_and_lengths_are_pairs():
    """Each with its own partner, in whatever order they were given, with whatever contents."""
    found = pairing([run(1), run(2), run(3)], [run(3, contents=2), run(1, contents=2), run(2, contents=2)])
    assert found.paired
    assert names(found.base) == names(found.new) == ["1/0", "2/0", "3/0"]
    assert "3 pairs" in found.why


def test_repeats_of_two_runs_are_pairs():
    """Repeat i of a run shares its times and lengths with repeat i of a run of the same seed."""
    found = pairing([run(0, repeat=at) for at in range(3)], [run(0, repeat=at) for at in (2, 1, 0)])
    assert found.paired
    assert [each.repeat for each in found.new] == [0, 1, 2]


def test_halves_of_one_comparison_are_pairs():
    """The manifests of `benchkit ab` say which pair a run is half of."""
    sides = []
    for side in "ab":
        told = [{"pair": {"comparison": "x", "number": number, "side": side}} for number in (0, 1)]
        sides.append([ComparedRun(side, LoadPoint(side, "", {}, manifest=each)) for each in told])
    assert pairing(*sides).paired


@pytest.mark.parametrize(
    ("new", "why"),
    [
        ([run(1), run(2), run(4)], "2 of 3 runs have a partner"),
        ([run(1), run(2)], "2 of 3 runs have a partner"),
        ([run(1, rate=5.0), run(2, rate=5.0), run(3, rate=5.0)], "0 of 3 runs have a partner"),
        ([run(), run(), run()], "do not say by which plan"),
    ],
)
def test_runs_without_partners_are_not_paired(new, why):
    """And it says why."""
    found = pairing([run(1), run(2), run(3)], new)
    assert not found.paired
    assert why in found.why


def test_runs_of_one_plan_are_no_pairs():
    """Where every run has the same times and lengths, none belongs to one run of the other side."""
    found = pairing([run(0), run(0)], [run(0), run(0)])
    assert not found.paired
    assert "all runs have the same times and lengths" in found.why


def test_no_pairs_where_none_are_wanted():
    """`no` takes the runs as they come."""
    assert not pairing([run(1), run(2)], [run(1), run(2)], "no").paired


def test_pairs_that_are_asked_for_go_by_seed_or_by_order():
    """Seeds tell of partners also where plans differ; where no source tells of seeds, the order does."""
    by_seed = pairing([run(1), run(2)], [run(2, rate=5.0), run(1, rate=5.0)], "yes")
    assert by_seed.paired
    assert names(by_seed.new) == ["1/0", "2/0"]
    by_order = pairing([run(name="a"), run(name="b")], [run(name="c"), run(name="d")], "yes")
    assert by_order.paired
    assert names(by_order.new) == ["c", "d"]


@pytest.mark.parametrize(
    ("base", "new", "told"),
    [
        ([run(1), run(2)], [run(1)], "2 runs on one side and 1 on the other"),
        ([run(1), run(2)], [run(3), run(4)], "no partners of the same seed"),
        ([run(1), run(1)], [run(1), run(1)], "no partners of the same seed"),
    ],
)
def test_pairs_that_are_not_there_are_refused(base, new, told):
    """Asking for pairs does not make them."""
    with pytest.raises(InvalidParameter, match=told):
        pairing(base, new, "yes")
