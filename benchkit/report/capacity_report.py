"""The public face of a capacity analysis: from sources and a question to answers, tables and plain text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from benchkit.analysis.capacity import Ask, CapacityAnswer, Option
from benchkit.analysis.capacity import capacity as answer_for
from benchkit.analysis.capacity_sensitivity import Variation, sensitivity
from benchkit.analysis.fleet import OverTime, over_time
from benchkit.analysis.load_profile import SHAPES, Profile, profile_of
from benchkit.analysis.points import LoadPoint
from benchkit.analysis.what_if import what_if
from benchkit.errors import InvalidParameter
from benchkit.experiments.sources import load_points
from benchkit.objectives import Objective, expand, parse
from benchkit.parameters import CapacityParameters, resolve
from benchkit.records import sweeps
from benchkit.records.project import in_project


@dataclass(frozen=True)
class Capacity:
    """What a capacity analysis found; a notebook shows it, ``print`` writes it, ``as_dict`` is for programs."""

    parameters: CapacityParameters
    answers: tuple[CapacityAnswer, ...]
    """One for each setting of the server, the one that carries most first."""
    objectives: tuple[Objective, ...]
    ask: Ask
    profile: Profile | None
    """The load over time, its peak not yet that of ``target_users``."""

    @property
    def answer(self) -> CapacityAnswer:
        """Of the setting that carries most."""
        return self.answers[0]

    @property
    def refused(self) -> bool:
        """Whether no number of servers is given."""
        return self.answer.refused

    @property
    def exit_code(self) -> int:
        """For a command: 0 with an answer, 1 without."""
        return 1 if self.refused else 0

    @cached_property
    def variations(self) -> tuple[Variation, ...]:
        """The servers with target and objectives varied; empty without a target."""
        if self.refused or not self.ask.has_target:
            return ()
        return sensitivity(self.answer.carried, self.ask)

    @cached_property
    def days(self) -> tuple[tuple[Option, OverTime], ...]:
        """Fleets over the profile, by each answer, the one to plan on first; empty without a profile."""
        planned = self.answer.planned
        if self.profile is None or planned is None:
            return ()
        ordered = [planned, *(option for option in self.answer.options if option is not planned)]
        return tuple(
            (
                option,
                over_time(
                    self.profile.at_peak(option.load),
                    option.sized_on,
                    option.redundancy,
                    start_up_s=self.ask.start_up_s,
                    scale_down_s=self.parameters.scale_down_s,
                ),
            )
            for option in ordered
            if option.load
        )

    def what_if(self, **changes: Any) -> Capacity:
        """The same question with some of it changed, from the stored points alone.

        Args:
            changes: ``slo``, or what is to be served, how safely and at what price, by ``Ask``'s names.

        Raises:
            InvalidParameter: the records cannot answer it.
        """
        answers = _ordered([what_if(answer, **changes) for answer in self.answers])
        return replace(self, answers=answers, objectives=answers[0].carried.objectives, ask=answers[0].ask)

    def as_dict(self) -> dict[str, Any]:
        """Everything that was found, as JSON has it."""
        from benchkit.report.capacity_json import as_dict

        return as_dict(self)

    def __str__(self) -> str:
        from benchkit.report.capacity_text import as_text

        return as_text(self)

    def __repr__(self) -> str:
        return f"<benchkit.Capacity of {len(self.answer.carried.levels)} loads>"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        from benchkit.report import capacity_sections

        return capacity_sections.answer(self)._repr_mimebundle_()


def capacity(values: Mapping[str, Any] | CapacityParameters) -> Capacity:
    """How many servers a load needs, by measured loads: sends nothing.

    Args:
        values: parameters, resolved or by name; see ``CapacityParameters``.

    Raises:
        ParameterError: the parameters make no sense, or the sources do not suffice to answer.
        RunNotFound: a source is not there.
        ForeignFileError: a file is damaged or of no known kind.
    """
    asked = values if isinstance(values, CapacityParameters) else resolve(values, CapacityParameters)
    return capacity_of(load_points(asked.sources or ("latest",)), asked)


def capacity_of(points: Sequence[LoadPoint], asked: CapacityParameters) -> Capacity:
    """How many servers a load needs, by points that are at hand.

    Raises:
        InvalidParameter: the points do not suffice to answer.
    """
    objectives = tuple(parse(text) for text in expand(asked.slo or _objectives_of(points)))
    ask = _ask(asked, points)
    profile = None
    if asked.profile:
        peak = asked.target_rps or float(asked.target_users) or None
        profile = profile_of(_place_of(asked.profile), peak)
        if not ask.has_target:
            ask = replace(ask, target_rps=profile.peak)
    answers = [answer_for(group, objectives, ask) for group in _cells(points)]
    return Capacity(asked, _ordered(answers), objectives, ask, profile)


def _place_of(profile: str) -> str:
    """A file is looked for here, then in the project, as sources are."""
    here, there = Path(profile).expanduser(), in_project(profile)
    return str(there) if profile not in SHAPES and not here.is_file() and there.is_file() else profile


def _ask(asked: CapacityParameters, points: Sequence[LoadPoint]) -> Ask:
    told = {field.name: getattr(asked, field.name) for field in fields(Ask)}
    return Ask(**told | {"start_up_s": asked.start_up_s or _timed_start_up_s(points) or 0.0})


def _objectives_of(points: Sequence[LoadPoint]) -> tuple[str, ...]:
    """What the sources' own runs were judged by."""
    asked = [
        (point.records.manifest.get("parameters") or {}) for point in points if point.records is not None
    ]
    return tuple(dict.fromkeys(text for each in asked for text in each.get("slo") or ()))


def _timed_start_up_s(points: Sequence[LoadPoint]) -> float | None:
    """The longest start of a server that the sweeps behind the points have timed."""
    folders = {path.parent for point in points if (path := getattr(point.records, "path", None)) is not None}
    timed = [
        float(cell["startup_s"])
        for folder in folders
        if sweeps.is_sweep(folder)
        for cell in sweeps.read(folder).get("cells", ())
        if cell.get("startup_s")
    ]
    return max(timed, default=None)


def _cells(points: Sequence[LoadPoint]) -> list[list[LoadPoint]]:
    groups: dict[str, list[LoadPoint]] = {}
    for point in points:
        if point.requests_per_s is not None:
            groups.setdefault(repr(sorted(point.cell.items())), []).append(point)
    if not groups:
        raise InvalidParameter("'sources' hold no point that says how many requests/s were answered")
    return list(groups.values())


def _ordered(answers: Sequence[CapacityAnswer]) -> tuple[CapacityAnswer, ...]:
    return tuple(sorted(answers, key=lambda each: -(each.planned.sized_on if each.planned else 0.0)))
