"""The public face of a test of this machine's client: make one, show a stored one, say what it holds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchkit.analysis.client_map import ClientMap
from benchkit.experiments import selftest_store
from benchkit.experiments.selftest import client_map
from benchkit.parameters import resolve
from benchkit.parameters.selftest import SelftestParameters
from benchkit.records.project import in_project


@dataclass(frozen=True)
class Selftest:
    """What a test of this machine's client found; a notebook shows it, ``print`` writes it."""

    parameters: SelftestParameters
    map: ClientMap
    path: Path
    """The file that holds the map."""

    def as_dict(self) -> dict[str, Any]:
        """The map and the limits in it, as JSON has them."""
        from benchkit.report.selftest_rows import limits_told

        return {**self.map.as_dict(), "limits": limits_told(self.map)}

    def __str__(self) -> str:
        from benchkit.report import selftest_sections

        return f"{selftest_sections.answer(self).text}\n\n{selftest_sections.cells(self).text}"

    def __repr__(self) -> str:
        return f"<benchkit selftest of {self.map.made}: {len(self.map.cells)} loads>"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        from benchkit.report import selftest_sections

        return selftest_sections.answer(self)._repr_mimebundle_()


async def selftest_async(
    values: Mapping[str, Any] | SelftestParameters, on_stage: Callable[[str], None] | None = None
) -> Selftest:
    """Measures what this machine's client can hold, and stores the map; or shows a stored one.

    Args:
        values: parameters, resolved or by name; see ``SelftestParameters``.
        on_stage: told in words which load begins; in a notebook a live display by default.

    Raises:
        ParameterError: the parameters make no sense.
        RunNotFound: the stored map that was asked for is not there.
        LoadError: a load could not be sent.
    """
    asked = values if isinstance(values, SelftestParameters) else resolve(values, SelftestParameters)
    if asked.stored:
        from benchkit.records import client_maps

        path = client_maps.find(asked.stored, in_project(asked.out))
        return Selftest(asked, selftest_store.stored(asked.stored, asked.out), path)
    if on_stage is None:
        from benchkit.report.live import Live

        on_stage = Live().stage
    found = await client_map(asked, on_stage)
    return Selftest(asked, found, selftest_store.keep(found, asked.out))


def selftest(
    values: Mapping[str, Any] | SelftestParameters, on_stage: Callable[[str], None] | None = None
) -> Selftest:
    """``selftest_async`` for a program without an event loop."""
    return asyncio.run(selftest_async(values, on_stage))
