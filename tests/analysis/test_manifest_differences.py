"""What was different in how two sides were measured, and what forbids to compare them."""

import pytest

from benchkit.analysis.compared_run import ComparedRun
from benchkit.analysis.manifest_differences import (
    POINTS,
    REFUSED,
    manifest_differences,
    refuse_unlike,
    unknown_points,
)
from benchkit.analysis.points import LoadPoint
from benchkit.errors import UnlikeRuns

PARAMETERS = {"dataset": "synthetic", "input_tokens": 512, "output_tokens": 64, "duration_s": 30.0, "slo": []}
ENVIRONMENT = {"cpu_model": "a processor", "memory_total": 8 * 2**30, "benchkit": "0.1.0", "gpus": None}
SERVER = {"engine": "vllm", "version": "0.11.0", "url": "http://127.0.0.1:8000"}


def run(
    *,
    model="tiny",
    rate=4.0,
    tool="benchkit",
    environment=(),
    server=(),
    imported=None,
    load="poisson",
    workers=(),
    **asked,
):
    """A run as its manifest tells of it."""
    manifest = {
        "parameters": {**PARAMETERS, "model": model, **asked},
        "environment": {**ENVIRONMENT, **dict(environment)} if imported is None else {},
        "server": {**SERVER, **dict(server)} if imported is None else {},
        "load": {"workers": list(workers)},
    }
    manifest |= {"imported": imported} if imported is not None else {}
    return ComparedRun("a run", LoadPoint("a run", load, {}, rate=rate, tool=tool, manifest=manifest))


def test_like_runs_have_no_differences():
    """Nothing is made up."""
    assert manifest_differences([run(), run()], [run(), run()]) == ()


def test_differences_come_by_weight():
    """The model before the load, the load before the machine, the server after it."""
    new = run(
        model="other", rate=5.0, environment={"cpu_model": "another"}, server={"version": "0.12.0"}, slo=["x"]
    )
    found = manifest_differences([run()], [new])
    assert [each.point for each in found] == ["model", "load", "machine", "server", "judging"]
    assert found[1].text == "rate: 4 \N{RIGHTWARDS ARROW} 5"
    assert [POINTS.index(each.point) for each in found] == sorted(POINTS.index(each.point) for each in found)


def test_a_client_that_goes_first_differs_from_one_in_turn():
    """Beside a busy server it measures otherwise; of a run that does not tell, nothing is made up."""
    first, mixed = (
        run(workers=[{"realtime": True}]),
        run(workers=[{"realtime": True}, {"realtime": False}, None]),
    )
    (found,) = manifest_differences([first], [mixed])
    assert (found.point, found.is_refused) == ("client", False)
    assert found.text == "goes first at the processor: yes \N{RIGHTWARDS ARROW} no"
    assert manifest_differences([first], [run()]) == ()


@pytest.mark.parametrize(
    ("point", "new"),
    [
        ("model", run(model="other")),
        ("workload", run(input_tokens=513)),
        ("load", run(rate=4.5)),
        ("load", run(load="constant")),
        ("machine", run(environment={"cpu_model": "another"})),
        ("machine", run(environment={"memory_total": 16 * 2**30})),
        ("tool", run(tool="vllm bench serve", imported={})),
    ],
)
def test_unlike_runs_are_refused_unless_that_is_the_point(point, new):
    """The refusal names the difference and the flag; with the flag they are compared."""
    sides = {"base": [run()], "new": [new]}
    found = manifest_differences(*sides.values())
    with pytest.raises(UnlikeRuns, match=f"--differs {point}"):
        refuse_unlike(found, sides, [each for each in REFUSED if each != point])
    refuse_unlike(found, sides, [point])


@pytest.mark.parametrize(
    "new",
    [
        run(server={"version": "0.12.0"}),
        run(server={"url": "http://127.0.0.1:9000"}),
        run(environment={"benchkit": "0.2.0"}),
        run(duration_s=60.0),
        run(environment={"memory_total": 8 * 2**30 - 10_000_000}),
    ],
)
def test_what_is_compared_every_day_is_shown_and_not_refused(new):
    """Another version of the server, another port, a longer run."""
    sides = {"base": [run()], "new": [new]}
    refuse_unlike(manifest_differences(*sides.values()), sides, ())


def test_a_side_is_of_one_setting():
    """Runs of one side that differ among themselves are refused, whatever may differ between the sides."""
    sides = {"base": [run(), run(model="other")], "new": [run(), run(model="other")]}
    with pytest.raises(UnlikeRuns, match="runs of the base differ among themselves in the model"):
        refuse_unlike(manifest_differences(*sides.values()), sides, REFUSED)


def test_means_of_other_tools_need_not_be_exact():
    """A file's mean length is what was measured, and rounded."""
    ours, theirs = run(input_tokens=512), run(input_tokens=515, tool="aiperf", imported={})
    assert "workload" not in [each.point for each in manifest_differences([ours], [theirs])]
    short, shorter = run(input_tokens=12, tool="aiperf"), run(input_tokens=11, tool="aiperf")
    assert manifest_differences([short], [shorter]) == ()


def test_what_a_source_does_not_tell_is_no_difference_but_is_said():
    """A file without a machine differs in none, and nobody knows."""
    ours, theirs = run(), run(imported={}, tool="aiperf")
    assert "machine" not in [each.point for each in manifest_differences([ours], [theirs])]
    assert unknown_points([ours], [theirs]) == ("the machine that measured", "the server")
    assert unknown_points([ours], [ours]) == ()


def test_matched_loads_do_not_differ():
    """Where loads were matched one by one, a rounding of theirs is no difference."""
    assert manifest_differences([run(rate=4.0)], [run(rate=4.0001)], loads_match=True) == ()
