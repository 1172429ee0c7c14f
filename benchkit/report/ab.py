"""The public face of a comparison of two settings: make one, load one, what it found."""

from __future__ import annotations

import asyncio
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchkit.errors import BenchkitError
from benchkit.parameters import AbParameters, resolve
from benchkit.records import pairs
from benchkit.records.project import in_project

if TYPE_CHECKING:
    from benchkit.experiments.ab import SweepHooks
    from benchkit.records.stored import StoredRun

_FEW_FIGURES = 4


class Ab:
    """A comparison of two settings in pairs of runs, finished or not.

    Attributes:
        path: its folder.
        manifest: its ``ab.json``: parameters, runs in their order, pilot, looks.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.manifest: dict[str, Any] = pairs.SERIES.read(path)

    @cached_property
    def base(self) -> list[StoredRun]:
        """The runs of side A, pair by pair; only complete pairs."""
        return self._side("a")

    @cached_property
    def new(self) -> list[StoredRun]:
        """The runs of side B, in the same pairs."""
        return self._side("b")

    @property
    def look(self) -> dict[str, Any] | None:
        """The last look: pairs, its error, and the difference of each number; None before the first."""
        looks = self.manifest["looks"]
        return looks[-1] if looks else None

    def _side(self, side: str) -> list[StoredRun]:
        from benchkit.records import stored

        done = {"a": set[int](), "b": set[int]()}
        for run in self.manifest["runs"]:
            if run["status"] == "complete":
                done[run["side"]].add(run["pair"])
        both = done["a"] & done["b"]
        runs = [run for run in self.manifest["runs"] if run["side"] == side and run["pair"] in both]
        return [stored.load(self.path / run["folder"]) for run in sorted(runs, key=lambda run: run["pair"])]

    def __repr__(self) -> str:
        return f"<benchkit.Ab {self.path.name}: {self.manifest['status']}, {len(self.base)} pairs>"

    def __str__(self) -> str:
        lines = [f"A: {self._setting('a')}", f"B: {self._setting('b')}", *self._warnings(), ""]
        pilot = self.manifest.get("pilot")
        if pilot:
            lines += [f"pilot of {pilot['pairs']} pairs: {line}" for line in pilot["lines"]] + [""]
        if self.look is None:
            return "\n".join([*lines, f"{len(self.base)} pairs are complete, and nothing was looked at yet"])
        look = self.look
        lines.append(
            f"{look['pairs']} pairs, the same times and lengths in both runs of a pair, in the order {self._order()}"
        )
        rows = [("", "A", "B", "B against A")]
        rows += [
            (name, _value(found["base"], found["unit"]), _value(found["new"], found["unit"]), found["words"])
            for name, found in look["numbers"].items()
        ]
        widths = [max(len(row[at]) for row in rows) for at in range(3)]
        lines += [
            f"  {row[0]:<{widths[0]}}  {row[1]:>{widths[1]}}  {row[2]:>{widths[2]}}  {row[3]}".rstrip()
            for row in rows
        ]
        notes = dict.fromkeys(found["note"] for found in look["numbers"].values() if found["note"])
        lines += [f"  note: {note}" for note in notes]
        if not look["decided"]:
            lines.append("Not everything is decided: give more 'pairs', longer runs, or fewer 'numbers'.")
        return "\n".join(lines)

    def _setting(self, side: str) -> str:
        p: AbParameters = AbParameters.model_construct(**self.manifest["parameters"])
        if p.url:
            model = p.model_of(side)
            return (p.url_b if side == "b" else p.url) + (f", model {model}" if model else "")
        told = p.serving_values(side)
        arguments = ", ".join(f"{name} {value}" for name, value in told["server_args"].items())
        engine = told["served_model"] or told["preset"]
        return f"{told['backend']} {engine}" + (f" with {arguments}" if arguments else "")

    def _order(self) -> str:
        done = len(self.base)
        return "".join(run["side"].upper() for run in self.manifest["runs"] if run["pair"] < done)

    def _warnings(self) -> list[str]:
        found = []
        for name, runs in (("A", self.base), ("B", self.new)):
            for verdict in ("invalid", "suspect"):
                bad = [run for run in runs if run.summary["validity"]["verdict"] == verdict]
                if bad:
                    reasons = sorted({r["name"] for run in bad for r in run.summary["validity"]["reasons"]})
                    found.append(
                        f"{len(bad)} of {len(runs)} runs of {name} are {verdict}: {', '.join(reasons)}"
                    )
        return found


def _value(value: float | None, unit: str) -> str:
    return "-" if value is None else f"{value:,.{_FEW_FIGURES}g} {unit}"


def live_hooks() -> SweepHooks:
    """What to give to ``ab_async`` as ``hooks`` to see how far the comparison is."""
    from benchkit.experiments.ab import SweepHooks
    from benchkit.report.live import SweepLive

    live = SweepLive()
    return SweepHooks(on_stage=live.stage, on_progress=live, on_point=live.point)


async def ab_async(
    parameters: AbParameters | None = None, *, hooks: SweepHooks | None = None, **values: Any
) -> Ab:
    """Compares two settings in pairs of runs; each is a run of its own inside the comparison's folder.

    Args:
        parameters: resolved parameters; or give them by name, as ``ab_async(url="…", url_b="…", pairs=5)``.
        hooks: who is told how it goes; in a notebook a live display by default.
        values: parameters by name, see ``docs/parameters.md``.

    Raises:
        ParameterError: the parameters make no sense.
        BenchkitError: a run failed; what was measured is kept.
    """
    if parameters is None:
        parameters = resolve(values, AbParameters)
    elif values:
        parameters = resolve({**parameters.model_dump(exclude_unset=True), **values}, AbParameters)
    from benchkit.experiments.ab import measure_ab

    return Ab(await measure_ab(parameters, live_hooks() if hooks is None else hooks))


def ab(parameters: AbParameters | None = None, *, hooks: SweepHooks | None = None, **values: Any) -> Ab:
    """Compares two settings from a program without an event loop; see ``ab_async``.

    Raises:
        BenchkitError: an event loop is running already, as in a notebook.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(ab_async(parameters, hooks=hooks, **values))
    raise BenchkitError("an event loop is running here (a notebook?): write `await ab_async(…)`")


def load_ab(path: str | Path) -> Ab:
    """Loads a comparison from its folder, or by the beginning of its name in ``outputs``; ``latest`` is the newest.

    Raises:
        RunNotFound: there is none.
        SchemaMismatch: a later version of benchkit wrote it.
    """
    return Ab(pairs.SERIES.find(path, in_project("outputs")))
