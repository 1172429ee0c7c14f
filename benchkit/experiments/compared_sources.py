"""The two sides of a comparison from wherever their runs lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchkit.analysis.compared_run import ComparedRun, runs_of
from benchkit.analysis.points import LoadPoint, point_of
from benchkit.errors import InvalidParameter, RunNotFound
from benchkit.experiments.sources import load_points
from benchkit.parameters import AbParameters
from benchkit.records import pairs, stored
from benchkit.records.project import in_project

LATEST = "latest"


@dataclass(frozen=True, slots=True)
class Sides:
    """Both sides as they were measured."""

    base: tuple[ComparedRun, ...]
    new: tuple[ComparedRun, ...]
    settings: tuple[str, str] = ("", "")
    """What each side was, where a comparison by `benchkit ab` tells; not escaped."""
    alpha: float = 0.05
    """Error that one difference may make: less where the runs were looked at more than once."""
    numbers: tuple[str, ...] = ()
    """What `benchkit ab` was asked to compare."""
    note: str = ""
    """What the number of looks means for the intervals."""


def find_sides(base: Sequence[str | Path], new: Sequence[str | Path]) -> Sides:
    """The runs of both sides; repeats are runs of their own.

    Args:
        base: as of ``sources.load_points``; with an empty ``new``, the one folder of a comparison by `benchkit ab`, or
            nothing (or ``latest``) for the newest of them.
        new: as of ``sources.load_points``.

    Raises:
        InvalidParameter: a side names nothing.
        RunNotFound: a source is not there.
        ForeignFileError: a file is damaged or of no known kind.
    """
    if not new:
        if len(base) > 1:
            raise InvalidParameter(
                f"'new' is empty and 'base' names {len(base)} sources: name the runs of the new side too, or the one "
                "folder that `benchkit ab` left"
            )
        return _of_comparison(base[0] if base else LATEST)
    if not base:
        raise InvalidParameter("'base' is empty: name the runs that 'new' is compared with")
    return Sides(_runs(load_points(base)), _runs(load_points(new)))


def _runs(points: Sequence[LoadPoint]) -> tuple[ComparedRun, ...]:
    return tuple(run for point in points for run in runs_of(point))


def _of_comparison(source: str | Path) -> Sides:
    try:
        folder = pairs.SERIES.find(_placed(source), in_project("outputs"))
    except RunNotFound as error:
        raise RunNotFound(
            f"{error}; one source alone is the folder of a comparison that `benchkit ab` left: name a second side for "
            "anything else"
        ) from None
    told = pairs.SERIES.read(folder)
    sides = {side: _side(folder, told, side) for side in ("a", "b")}
    if not sides["a"]:
        raise InvalidParameter(f"{folder.name} has no complete pair yet: `benchkit ab` goes on with it")
    looks = told.get("looks") or []
    alpha = float(looks[-1]["alpha"]) if looks else 0.05
    note = ""
    if alpha < 0.05:
        note = (
            f"the pairs were looked at as they came, so each interval is one of {100 * (1 - alpha):.3g} %: all looks "
            "together err in 5 %"
        )
    asked = told["parameters"]
    return Sides(
        sides["a"],
        sides["b"],
        (_setting(asked, "a"), _setting(asked, "b")),
        alpha,
        tuple(asked.get("numbers") or ()),
        note,
    )


def _placed(source: str | Path) -> str | Path:
    """A folder is looked for here, then in the project."""
    there = in_project(source)
    return there if source != LATEST and pairs.SERIES.is_one(there) else source


def _side(folder: Path, told: Mapping[str, Any], side: str) -> tuple[ComparedRun, ...]:
    done: dict[str, set[int]] = {"a": set(), "b": set()}
    for run in told["runs"]:
        if run["status"] == "complete":
            done[run["side"]].add(run["pair"])
    whole = done["a"] & done["b"]
    runs = [run for run in told["runs"] if run["side"] == side and run["pair"] in whole]
    return _runs(
        [
            point_of(stored.load(folder / run["folder"]), f"pair {run['pair'] + 1}")
            for run in sorted(runs, key=lambda run: run["pair"])
        ]
    )


def _setting(asked: Mapping[str, Any], side: str) -> str:
    """What a side was, in words."""
    parameters: AbParameters = AbParameters.model_construct(**asked)
    if parameters.url:
        model = parameters.model_of(side)
        url = parameters.url_b if side == "b" else parameters.url
        return f"{url}, model {model}" if model else url
    told = parameters.serving_values(side)
    arguments = ", ".join(f"{name} {value}" for name, value in told["server_args"].items())
    engine = f"{told['backend']} {told['served_model'] or told['preset']}"
    return f"{engine} with {arguments}" if arguments else engine
