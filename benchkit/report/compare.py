"""The public face of a comparison: from two sides of measured runs to differences, gates and words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchkit.analysis.compared_number import ComparedNumber, parse_number
from benchkit.analysis.compared_run import ComparedRun
from benchkit.analysis.comparison import HEADLINES, LoadCompared, adjusted, compare_load
from benchkit.analysis.comparison_notes import comparison_notes, untrusted
from benchkit.analysis.difference import Outcome
from benchkit.analysis.gates import Gate, Gated, JudgedGate, judge_gates, overall, parse_gate
from benchkit.analysis.manifest_differences import (
    ManifestDifference,
    manifest_differences,
    refuse_unlike,
    unknown_points,
)
from benchkit.analysis.matched_loads import Matched, match_loads
from benchkit.errors import InvalidParameter
from benchkit.experiments.compared_sources import Sides, find_sides
from benchkit.parameters import CompareParameters, resolve
from benchkit.report.sweep_loads import label

_INVALID, _MISSED = 3, 4


@dataclass(frozen=True, repr=False)
class Comparison:
    """What a comparison found; a notebook shows it, ``print`` writes it, ``as_dict`` is for programs."""

    parameters: CompareParameters
    loads: tuple[LoadCompared, ...]
    """Load by load, the numbers of both sides."""
    differences: tuple[ManifestDifference, ...]
    """In what the sides were measured differently, the weightiest first."""
    gates: tuple[JudgedGate, ...]
    settings: tuple[str, str] = ("", "")
    """What each side was, where a comparison by `benchkit ab` tells."""
    notes: tuple[str, ...] = ()
    """What to keep in mind, the weightiest first."""
    untrusted: str = ""
    """Why nothing is decided; empty where the measurements can be believed."""

    @property
    def names(self) -> tuple[str, str]:
        """What the sides are called."""
        return self.parameters.base_name, self.parameters.new_name

    @property
    def outcome(self) -> Outcome | None:
        """Of all gates together; None without gates."""
        return overall(self.gates)

    @property
    def exit_code(self) -> int:
        """For a command: 3 with an invalid measurement, 4 with a failed gate (strict: or an undecided one), else 0."""
        if self.untrusted:
            return _INVALID
        failed = ("fail", "inconclusive") if self.parameters.strict else ("fail",)
        return _MISSED if self.outcome in failed else 0

    @property
    def is_single(self) -> bool:
        """Whether a side has a single run under every load, so that nothing can be told."""
        return all(min(len(load.base), len(load.new)) < 2 for load in self.loads)

    def as_dict(self) -> dict[str, Any]:
        """Everything that was found, as JSON has it."""
        from benchkit.report.compare_json import as_dict

        return as_dict(self)

    def as_markdown(self) -> str:
        """The outcome as Markdown, for a review or a job's summary."""
        from benchkit.report.compare_markdown import as_markdown

        return as_markdown(self)

    def as_junit(self) -> str:
        """The gates as JUnit XML, a test case each.

        Raises:
            InvalidParameter: there are no gates.
        """
        from benchkit.report.compare_junit import as_junit

        return as_junit(self)

    def __str__(self) -> str:
        from benchkit.report.compare_text import as_text

        return as_text(self)

    def __repr__(self) -> str:
        return f"<benchkit.Comparison of {len(self.loads)} loads: {self.outcome or 'no gates'}>"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        from benchkit.report import compare_sections

        return compare_sections.answer(self)._repr_mimebundle_()


def compare(
    base: str | Path | Sequence[str | Path] = (), new: str | Path | Sequence[str | Path] = (), **values: Any
) -> Comparison:
    """Compares two sides of measured runs; sends nothing.

    Args:
        base: runs to compare with: folders or the beginnings of their names, sweeps, other tools' files; alone, the
            folder that `benchkit ab` left; empty = the newest of these.
        new: runs that are compared with them.
        values: further parameters by name, see ``CompareParameters``: ``fail_on=["p99 ttft +5%"]``.

    Raises:
        ParameterError: the parameters make no sense, or the sides are not alike (``UnlikeRuns``).
        RunNotFound: a source is not there.
        ForeignFileError: a file is damaged or of no known kind.
    """
    return comparison({**values, "base": _listed(base), "new": _listed(new)})


def comparison(values: Mapping[str, Any] | CompareParameters) -> Comparison:
    """Compares two sides of measured runs by parameters, resolved or by name; raises as ``compare``."""
    asked = values if isinstance(values, CompareParameters) else resolve(values, CompareParameters)
    gates = [parse_gate(text) for text in asked.fail_on]
    numbers = [parse_number(text) for text in asked.numbers]
    sides = find_sides(asked.base, asked.new)
    _refuse_shared(sides)
    found = match_loads(sides.base, sides.new)
    differences = _differences(found, asked)
    loads = _loads(found, _wanted(numbers, gates, sides), sides, asked, keep_empty=bool(numbers))
    named = {asked.base_name: _all(found, 0), asked.new_name: _all(found, 1)}
    doubt = untrusted(named)
    judged = judge_gates(
        [
            Gated(gate, load.label, compared.difference)
            for load in loads
            for gate in gates
            if (compared := load.of(gate.number)) is not None
        ],
        alpha=sides.alpha,
        untrusted=doubt,
    )
    notes = [sides.note] if sides.note else []
    if found.left_out:
        names = dict.fromkeys(label(point) for point in found.left_out)
        notes.append(f"left out, since only one side has them: {', '.join(names)}")
    notes += comparison_notes(named, loads, unknown_points(*named.values()))
    return Comparison(asked, loads, differences, judged, sides.settings, tuple(notes), doubt)


def _differences(found: Matched, asked: CompareParameters) -> tuple[ManifestDifference, ...]:
    """What differs, once nothing of it forbids the comparison; a side's runs must be alike under each load."""
    for load in found.loads:
        own = manifest_differences(load.base, load.new, loads_match=found.by_key)
        refuse_unlike(own, {asked.base_name: load.base, asked.new_name: load.new}, asked.differs)
    return manifest_differences(_all(found, 0), _all(found, 1), loads_match=found.by_key)


def _loads(
    found: Matched,
    numbers: Sequence[ComparedNumber],
    sides: Sides,
    asked: CompareParameters,
    *,
    keep_empty: bool,
) -> tuple[LoadCompared, ...]:
    several = len(found.loads) > 1
    gated = {parse_gate(text).number for text in asked.fail_on}
    compared = [
        compare_load(
            label(load.point) if several else "",
            load.base,
            load.new,
            numbers,
            paired=asked.paired,
            alpha=sides.alpha,
            keep=None if keep_empty else gated,
        )
        for load in found.loads
    ]
    return adjusted(compared)


def _wanted(
    numbers: Sequence[ComparedNumber], gates: Sequence[Gate], sides: Sides
) -> tuple[ComparedNumber, ...]:
    """What is asked for, or what the measurement was made for, or the usual numbers; and what the gates are about."""
    asked = numbers or [parse_number(text) for text in sides.numbers] or HEADLINES
    return tuple(dict.fromkeys([*asked, *(gate.number for gate in gates)]))


def _all(found: Matched, side: int) -> list[ComparedRun]:
    return [run for load in found.loads for run in load[side]]


def _refuse_shared(sides: Sides) -> None:
    names = {_place(run) for run in sides.base} & {_place(run) for run in sides.new}
    if names:
        raise InvalidParameter(
            f"{min(names)} is on both sides: a run compared with itself says nothing; to see how much runs "
            "differ anyway, measure a server twice, or give `benchkit ab` the same address twice"
        )


def _place(run: ComparedRun) -> str:
    """By what a run is known: its folder, or what its file says, since files in two folders may share a name."""
    path = getattr(run.point.records, "path", None)
    if path is not None:
        return str(path.name)
    return f"{run.name} of {run.manifest.get('created')} with {run.point.requests_per_s} requests/s"


def _listed(sources: str | Path | Sequence[str | Path]) -> list[str]:
    return [str(each) for each in ([sources] if isinstance(sources, str | Path) else sources)]
