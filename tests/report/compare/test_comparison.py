"""Two sides of stored runs, compared: what is found, what is refused, and what is said."""

import json
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from benchkit import compare
from benchkit.analysis.compared_number import parse_number
from benchkit.errors import InvalidParameter, ParameterConflict, RunNotFound, UnlikeRuns
from benchkit.report import compare_sections as sections

VLLM = Path(__file__).parents[2] / "data" / "vllm_bench" / "detailed.json"
ITL = parse_number("mean itl")


def itl(found):
    """The mean time between tokens, compared."""
    return found.loads[0].of(ITL)


def test_a_slower_side_is_found_slower(make_sides):
    """5 % more between tokens is found, with an interval that holds it, and fails the gate that allows less."""
    found = compare(*make_sides(factor=1.05, spread=0.003), fail_on=["mean itl +2%"])
    seen = itl(found)
    assert seen.difference.low < 1.05 < seen.difference.high
    assert seen.words(0.05).startswith("slower by ")
    assert (found.outcome, found.exit_code) == ("fail", 4)
    assert str(found).startswith("Fails: mean itl +2%")


def test_a_side_compared_with_its_like_passes(make_sides):
    """No difference is found where there is none, and it says how large one could be."""
    found = compare(*make_sides(spread=0.003), fail_on=["mean itl +2%", "p50 ttft +10%"])
    assert (found.outcome, found.exit_code) == ("pass", 0)
    assert re.match(r"no difference larger than \d", itl(found).words(0.05))
    assert not [each for each in found.loads[0].numbers if each.stands_out]


def test_runs_of_one_plan_are_paired_and_others_are_not(make_sides, tmp_path):
    """The same times and lengths drop out of a difference of pairs; without them it is Welch's."""
    found = compare(*make_sides(3))
    assert found.loads[0].pairing.paired
    assert itl(found).difference.method.startswith("paired t")
    for folder in tmp_path.iterdir():
        folder.rename(folder.with_name(f"paired-{folder.name}"))
    found = compare(*make_sides(3, paired=False))
    assert not found.loads[0].pairing.paired
    assert itl(found).difference.method.startswith("Welch t")


def test_a_single_run_a_side_is_always_inconclusive(make_sides):
    """Twice as slow or not: it says why, shows the intervals inside the runs, and passes unless it is strict."""
    base, new = make_sides(1, factor=2.0)
    found = compare(base, new, fail_on=["mean itl +2%"])
    assert (found.outcome, found.exit_code) == ("inconclusive", 0)
    assert "single run a side" in str(found)
    assert itl(found).difference.interval() is None
    assert compare(base, new, fail_on=["mean itl +2%"], strict=True).exit_code == 4


def test_repeats_of_a_run_are_runs(make_run):
    """One run of four repeats has what four runs have: their spread; repeat i is the partner of repeat i."""
    base = make_run("base", repeats=4, spread=0.003, contents=1)
    new = make_run("new", repeats=4, spread=0.003, contents=2, factor=1.1)
    found = compare(base, new)
    (load,) = found.loads
    assert (len(load.base), len(load.new), load.pairing.paired) == (4, 4, True)
    assert itl(found).difference.low < 1.1 < itl(found).difference.high
    assert [run.point.count for run in load.base] == [40] * 4
    values = itl(found).by_run[0]
    assert len(set(values)) == 4


def test_a_comparison_by_ab_is_one_source(ab_folder):
    """Its complete pairs, its settings, its numbers and the error of its last look."""
    found = compare(ab_folder)
    (load,) = found.loads
    assert (len(load.base), len(load.new), load.pairing.paired) == (4, 4, True)
    assert [each.number for each in load.numbers] == [ITL]
    assert found.settings == ("simulated fixed with gap_ms 10.0", "simulated fixed with gap_ms 10.8")
    assert itl(found).difference.alpha == 0.0294
    assert any("looked at as they came" in note for note in found.notes)
    assert itl(found).stands_out


@pytest.mark.parametrize(
    ("change", "point"),
    [
        ({"model": "other"}, "model"),
        ({"input_tokens": 100}, "workload"),
        ({"rate": 12.0}, "load"),
        ({"environment": {"cpu_model": "another"}}, "machine"),
    ],
)
def test_unlike_runs_are_refused_unless_that_is_the_point(make_run, change, point):
    """The refusal names the difference and the flag that allows it."""
    base = [make_run(f"base-{at}", seed=at) for at in range(2)]
    new = [make_run(f"new-{at}", seed=at, **change) for at in range(2)]
    with pytest.raises(UnlikeRuns, match=f"--differs {point}"):
        compare(base, new)
    found = compare(base, new, differs=[point])
    assert found.differences[0].point == point


def test_what_differs_comes_before_the_numbers(make_run):
    """Another version of the server is what one compares: it is said, and not refused."""
    base = [make_run(f"base-{at}", seed=at) for at in range(2)]
    new = [make_run(f"new-{at}", seed=at, url="http://127.0.0.1:9000") for at in range(2)]
    text = str(compare(base, new))
    assert text.index("http://127.0.0.1:9000") < text.index("in words")


def test_an_invalid_measurement_decides_nothing(make_run):
    """However large the difference: exit code 3, and the reason first."""
    base = [make_run(f"base-{at}", seed=at) for at in range(3)]
    new = [
        make_run(f"new-{at}", seed=at, factor=2.0, verdict="invalid" if at else "valid") for at in range(3)
    ]
    found = compare(base, new, fail_on=["mean itl +5%"])
    assert (found.outcome, found.exit_code) == ("inconclusive", 3)
    assert str(found).startswith("Nothing is decided. Cannot tell: 2 of 3 runs of new are invalid")
    assert "something was wrong" in str(found)


def test_a_gate_counts_its_own_direction_only(make_sides):
    """A faster server passes every gate of time."""
    found = compare(*make_sides(factor=0.9, spread=0.003), fail_on=["mean itl +2%"])
    assert found.outcome == "pass"
    assert itl(found).words(0.05).startswith("faster by ")
    assert "is better" in str(found)


def test_several_loads_are_matched(make_run):
    """Runs of two rates on both sides are compared rate by rate; a rate of one side alone is named."""
    base = [
        make_run(f"base-{rate}-{at}", seed=at, rate=rate) for rate in (10.0, 20.0, 30.0) for at in range(3)
    ]
    new = [
        make_run(f"new-{rate}-{at}", seed=at, rate=rate, factor=1.2 if rate == 20.0 else 1.0)
        for rate in (10.0, 20.0)
        for at in range(3)
    ]
    found = compare(base, new, numbers=["mean itl"], fail_on=["mean itl +10%"])
    assert len(found.loads) == 2
    assert [gate.outcome for gate in found.gates] == ["pass", "fail"]
    assert "20" in found.gates[1].load
    assert any("30" in note and "left out" in note for note in found.notes)
    with pytest.raises(UnlikeRuns, match="no load in common"):
        compare(base[:6], [make_run(f"x-{rate}", rate=rate) for rate in (40.0, 50.0)])


def test_files_of_another_tool_are_a_side(tmp_path):
    """Three files of vllm bench serve against three that are 10 % slower: Welch, with what the files lack."""
    told = json.loads(VLLM.read_text())
    files = {"base": [], "new": []}
    for side, factor in (("base", 1.0), ("new", 1.1)):
        for at, own in enumerate((0.998, 1.0, 1.003)):
            slower = dict(told)
            for name, value in told.items():
                if name.endswith("_ms") and isinstance(value, float):
                    slower[name] = value * factor * own
            slower["ttfts"] = [value * factor * own for value in told["ttfts"]]
            file = tmp_path / f"{side}-{at}.json"
            file.write_text(json.dumps(slower))
            files[side].append(file)
    found = compare(files["base"], files["new"], numbers=["mean ttft"])
    (ttft,) = found.loads[0].numbers
    assert ttft.difference.low < 1.1 < ttft.difference.high
    assert ttft.difference.method.startswith("Welch")
    assert any("not every source tells" in note for note in found.notes)
    with pytest.raises(InvalidParameter, match="on both sides"):
        compare(files["base"][0], files["base"][0])


def test_a_run_is_not_compared_with_itself(make_run):
    """That would say nothing of how much runs differ."""
    run = make_run("one")
    with pytest.raises(InvalidParameter, match="one is on both sides"):
        compare(run, run)


@pytest.mark.parametrize(
    ("values", "error", "told"),
    [
        ({"base": ["nowhere"]}, RunNotFound, "one source alone is the folder of a comparison"),
        ({"base": ["a", "b"]}, InvalidParameter, "'new' is empty"),
        ({"new": ["a"]}, InvalidParameter, "'base' is empty"),
        ({"base": ["a"], "new": ["b"], "fail_on": ["fast"]}, InvalidParameter, "is no gate"),
        ({"base": ["a"], "new": ["b"], "numbers": ["fast"]}, InvalidParameter, "is no number"),
        (
            {"base": ["a"], "new": ["b"], "differs": ["weather"]},
            InvalidParameter,
            "'differs' must be a list of model",
        ),
        ({"base": ["a"], "new": ["b"], "strict": True}, ParameterConflict, "'fail_on' is empty"),
        ({"base": ["a"], "new": ["b"], "new_name": "base"}, ParameterConflict, "give them two names"),
    ],
)
def test_questions_that_make_no_sense_are_refused(values, error, told):
    """Before anything is read."""
    with pytest.raises(error, match=told):
        compare(**values)


def test_sides_measured_one_after_the_other_are_named(make_run):
    """Whatever changed in between is in the difference; runs in turn have no such note."""
    base = [make_run(f"base-{at}", seed=at, begun_s=1000 + at) for at in range(3)]
    late = [make_run(f"late-{at}", seed=at, begun_s=2000 + at, contents=2) for at in range(3)]
    turn = [make_run(f"turn-{at}", seed=at, begun_s=1000.5 + at, contents=2) for at in range(3)]
    after = "all runs of base were measured before those of new"
    assert any(after in note for note in compare(base, late).notes)
    assert not any("were measured before" in note for note in compare(base, turn).notes)


def test_the_same_prompts_to_one_server_are_named(make_run):
    """A prefix cache would make the later side faster; other contents, or another start, have no such note."""
    base = [make_run(f"base-{at}", seed=at) for at in range(2)]
    same = [make_run(f"same-{at}", seed=at) for at in range(2)]
    other = [make_run(f"other-{at}", seed=at, contents=2) for at in range(2)]
    restarted = [make_run(f"restarted-{at}", seed=at, started_at=2000.0) for at in range(2)]
    assert any("2 of 2 runs sent the very prompts" in note for note in compare(base, same).notes)
    for new in (other, restarted):
        assert not any("very prompts" in note for note in compare(base, new).notes)


def test_one_start_a_side_is_named(make_run):
    """Runs of one start share what it brought; where both sides are several, the starts are the units."""
    base = [make_run(f"base-{at}", seed=at, contents=1) for at in range(4)]
    new = [make_run(f"new-{at}", seed=at, contents=2, started_at=2000.0) for at in range(4)]
    assert any("another start may differ" in note for note in compare(base, new).notes)
    base = [make_run(f"b-{at}", seed=at, contents=1, started_at=1000.0 + at // 2) for at in range(4)]
    new = [make_run(f"n-{at}", seed=at, contents=2, started_at=2000.0 + at // 2) for at in range(4)]
    assert itl(compare(base, new)).difference.units == (2, 2)


def test_percentiles_that_runs_do_not_reach_are_named(make_sides):
    """40 requests a run have no p99 of their own."""
    found = compare(*make_sides(3), numbers=["p99 ttft", "mean ttft"])
    (note,) = [note for note in found.notes if "slowest" in note]
    assert "p99 ttft" in note
    assert "mean ttft" not in note


def test_numbers_that_nobody_measured_are_left_out_unless_they_were_asked_for(make_sides):
    """Goodput without an objective is no number; asked for, it says that it is not there."""
    sides = make_sides(2)
    assert "goodput_per_s" not in [each.number.text for each in compare(*sides).loads[0].numbers]
    (asked,) = compare(*sides, numbers=["goodput_per_s"]).loads[0].numbers
    assert "not every run has this number" in asked.words(0.05)


def test_percentiles_that_no_summary_holds_come_from_the_requests(make_sides):
    """p75 is as good as p90 where a run has its requests."""
    (asked,) = compare(*make_sides(2), numbers=["p75 ttft"]).loads[0].numbers
    assert asked.difference.ratio == pytest.approx(1.0, abs=0.1)


def test_everything_is_json(make_sides):
    """Numbers with the values of each run, gates, notes; nothing that JSON lacks."""
    found = compare(*make_sides(3, factor=1.05), fail_on=["mean itl +2%"])
    told = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert told["outcome"] == found.outcome
    (number,) = [each for each in told["loads"][0]["numbers"] if each["number"] == "mean itl"]
    assert len(number["base"]["by_run"]) == 3
    assert number["ratio"] == pytest.approx(itl(found).difference.ratio)
    assert told["gates"][0]["text"] == "mean itl +2%"


def test_junit_has_a_case_for_each_gate(make_sides):
    """Failed, passed and undecided as failure, pass and skipped; strict makes a failure of the last."""
    base, new = make_sides(3, factor=1.2, spread=0.003)
    gates = ["mean itl +5%", "output_tokens_per_s -50%", "mean itl +20%"]
    suite = ET.fromstring(compare(base, new, fail_on=gates).as_junit())
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("3", "1", "1")
    kinds = {case.get("name"): [child.tag for child in case] for case in suite.iter("testcase")}
    assert kinds == {gates[0]: ["failure"], gates[1]: [], gates[2]: ["skipped"]}
    strict = ET.fromstring(compare(base, new, fail_on=gates, strict=True).as_junit())
    assert (strict.get("failures"), strict.get("skipped")) == ("2", "0")
    with pytest.raises(InvalidParameter, match="'fail_on' is empty"):
        compare(base, new).as_junit()


WILD = "<b>|`x`\x1b[31m\x00](http://evil)"


def test_names_of_servers_cannot_break_out(make_run):
    """What a server or a user calls something is text in HTML, Markdown, XML and a terminal."""
    base = [make_run(f"base-{at}", seed=at, model=WILD) for at in range(2)]
    new = [make_run(f"new-{at}", seed=at, contents=2, model=WILD + "2") for at in range(2)]
    found = compare(base, new, differs=["model"], new_name=WILD, fail_on=["mean itl +5%"])
    html = "".join(
        part(found).html
        for part in (sections.answer, sections.differences, sections.numbers, sections.notes, sections.runs)
    )
    assert "<b>" not in html
    assert "&lt;b&gt;" in html
    assert not re.search(r"[\x00-\x09\x0b-\x1f]", str(found))
    suite = ET.fromstring(found.as_junit())
    assert "<b>" in suite[0].get("name")
    rows = [line for line in found.as_markdown().splitlines() if line.startswith("|")]
    assert rows
    assert not re.search(r"(?<!\\)\]\(|://|[\x00-\x09\x0b-\x1f]", found.as_markdown())
    for table in re.split(r"\n\n", found.as_markdown()):
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines() if line.startswith("|")}
        assert len(widths) <= 1


def test_markdown_begins_with_the_outcome(make_sides):
    """A reviewer reads one line."""
    told = compare(
        *make_sides(factor=1.2), fail_on=["mean itl +5%"], new_name="v2", base_name="v1"
    ).as_markdown()
    assert told.startswith("## ❌ v2 against v1\n")
    assert "mean itl +5%" in told
