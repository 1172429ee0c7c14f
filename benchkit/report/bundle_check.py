"""Holds a bundle to itself: its checksums, and its numbers computed from its records again."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from benchkit import __version__
from benchkit.errors import BenchkitError, RecordError
from benchkit.records import bundle as bundles
from benchkit.records import manifest as manifests
from benchkit.records import store
from benchkit.records.layout import TELEMETRY_NAME
from benchkit.records.stored import load

_SHOWN: Final = 3


class Difference(NamedTuple):
    """A place of a summary where the records give something else."""

    place: str
    stored: Any
    computed: Any

    @property
    def relative(self) -> float | None:
        """Of two numbers how far they are apart; None where they are not both numbers."""
        sides = (self.stored, self.computed)
        if not all(isinstance(side, int | float) and not isinstance(side, bool) for side in sides):
            return None
        most = max(map(abs, sides))
        return abs(self.stored - self.computed) / most if most else 0.0


@dataclass(frozen=True, slots=True)
class Checked:
    """What was found of a bundle."""

    holds: bool
    text: str
    """A line for the file and one for each run."""


def check(file: Path) -> Checked:
    """Whether a bundle is whole, and whether the records of each of its runs give its stored summary to the last digit.

    Raises:
        RecordError: it is no bundle, is damaged, or holds names that are refused.
    """
    with tempfile.TemporaryDirectory(prefix="benchkit-bundle-") as name:
        folder = Path(name)
        names = bundles.extract(file, folder)
        unlike = bundles.unlike(folder, names)
        if unlike:
            told = "; ".join(f"{each.name} is {each.what}" for each in unlike)
            return Checked(False, f"{file.name}: its checksums do not hold: {told}")
        runs = sorted(path.parent for path in folder.rglob(manifests.FILE_NAME))
        if not runs:
            raise RecordError(f"{file} holds no run")
        found = [_run(run, str(run.relative_to(folder))) for run in runs]
    lines = [
        f"{file.name}: {len(names) - 1} files, all as their checksums say",
        *(each.text for each in found),
    ]
    return Checked(all(each.holds for each in found), "\n".join(lines))


def _run(path: Path, name: str) -> Checked:
    try:
        changed = store.verify_checksums(path)
        if changed:
            return Checked(
                False, f"{name}: {', '.join(each.file for each in changed)} is not what the run wrote"
            )
        run = load(path)
        if run.manifest.get("imported"):
            tool = run.manifest["imported"].get("tool")
            return Checked(
                True, f"{name}: its numbers come from a file of {tool}; they are not computed again"
            )
        stored = run.summary
        computed = json.loads(json.dumps(_summarised(path, run.manifest)))
    except BenchkitError as error:
        return Checked(False, f"{name}: {str(error).replace(str(path), name)}")
    except (KeyError, TypeError, ValueError) as error:
        return Checked(
            False, f"{name}: its files are not as benchkit writes them ({type(error).__name__}: {error})"
        )
    different = list(differences(stored, computed))
    if not different:
        return Checked(
            True, f"{name}: its records give its {_numbers(stored):,} numbers again, to the last digit"
        )
    return Checked(False, f"{name}: {_told(different, run.manifest)}")


def _summarised(path: Path, manifest: dict[str, Any]) -> dict[str, Any]:
    """A summary as it was made when the run ended."""
    import pyarrow.parquet as pq

    from benchkit.experiments.finishing import summarised
    from benchkit.parameters import RunParameters

    asked = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in manifest["parameters"].items()
    }
    sampled = path / TELEMETRY_NAME
    telemetry = pq.read_table(sampled, partitioning=None) if sampled.is_file() else None
    return summarised(path, RunParameters.model_validate(asked), manifest["load"], telemetry=telemetry)


def differences(stored: Any, computed: Any, place: str = "") -> Iterator[Difference]:
    """Where two values of JSON differ, by the path to each place."""
    if isinstance(stored, dict) and isinstance(computed, dict):
        for key in [*stored, *(key for key in computed if key not in stored)]:
            yield from differences(
                stored.get(key), computed.get(key), f"{place}.{key}" if place else str(key)
            )
    elif isinstance(stored, list) and isinstance(computed, list) and len(stored) == len(computed):
        for at, (one, other) in enumerate(zip(stored, computed, strict=True)):
            yield from differences(one, other, f"{place}[{at}]")
    elif stored != computed:
        yield Difference(place, stored, computed)


def _told(different: list[Difference], manifest: dict[str, Any]) -> str:
    listed = "; ".join(
        f"{each.place} is {_short(each.stored)}, the records give {_short(each.computed)}"
        for each in different[:_SHOWN]
    )
    more = f"; and {len(different) - _SHOWN} more" if len(different) > _SHOWN else ""
    relative = [each.relative for each in different]
    known = [each for each in relative if each is not None]
    size = (
        f" The numbers are apart by {max(known):.2g} of their size at most."
        if len(known) == len(relative)
        else ""
    )
    made = manifest.get("benchkit_version")
    commit = (manifest.get("environment") or {}).get("git_commit")
    by = f"benchkit {made}" + (f" (commit {commit})" if commit else "")
    return (
        f"summary.json is not what the records give: {listed}{more}.{size} It was written by {by}, and this is "
        f"{__version__}: another version of benchkit or numpy may compute otherwise; the same may not."
    )


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:59]}…"


def _numbers(value: Any) -> int:
    if isinstance(value, dict):
        return sum(map(_numbers, value.values()))
    if isinstance(value, list):
        return sum(map(_numbers, value))
    return int(isinstance(value, int | float) and not isinstance(value, bool))
