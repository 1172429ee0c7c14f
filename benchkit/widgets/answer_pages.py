"""The pages *Capacity* and *Compare*: questions about what was measured; neither sends load."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import ipywidgets as widgets

from benchkit.errors import BenchkitError
from benchkit.parameters import CapacityParameters, CompareParameters, ParameterGroup
from benchkit.records.paths import scrub_paths
from benchkit.report import capacity_sections, compare_sections
from benchkit.report.capacity_report import capacity
from benchkit.report.compare import comparison
from benchkit.widgets.copy_as import CopyAs
from benchkit.widgets.desk import Desk
from benchkit.widgets.form import Form
from benchkit.widgets.parts import button, row, said, say


class AnswerPage(widgets.VBox):
    """Parameters of a question, and its answer.

    Args:
        desk: what the pages share.
        model: the question's parameters.
        ask: the button's word.
        answer: gives the answer as HTML; it is called beside the kernel's loop.
        values: what the form begins with.
    """

    def __init__(
        self,
        desk: Desk,
        model: type[ParameterGroup],
        ask: str,
        answer: Callable[[Any], str],
        values: Mapping[str, Any] | None = None,
    ) -> None:
        self._answer = answer
        self._told = said()
        self.shown = widgets.HTML()
        self._desk = desk
        self.ask_button = button(
            ask,
            lambda: desk.do_settled(lambda: desk.do(self.ask())),
            tip=f"{ask.lower()}; sends no load",
            look="primary",
        )
        self.form: Form[ParameterGroup] = Form(model, values, on_change=self._changed)
        self.copy_as = CopyAs(desk.bridge, lambda: self.form.parameters)
        super().__init__([row(self.ask_button, self._told), self.shown, self.form, self.copy_as])
        self._changed()

    async def ask(self) -> None:
        """Asks, and shows the answer."""
        try:
            parameters = self.form.parameters
            say(self._told, "thinking …")
            self.shown.value = await asyncio.to_thread(self._answer, parameters)
            say(self._told, "")
        except BenchkitError as error:
            say(self._told, scrub_paths(str(error)), "error")

    def _changed(self) -> None:
        self.copy_as.refresh()
        self.ask_button.disabled = bool(self.form.problems)


def capacity_page(desk: Desk, values: Mapping[str, Any] | None = None) -> AnswerPage:
    """How many servers, and what do they cost?"""
    return AnswerPage(desk, CapacityParameters, "Count servers", _capacity_html, values)


def compare_page(desk: Desk, values: Mapping[str, Any] | None = None) -> AnswerPage:
    """Do two sides of measured runs differ, and by how much?"""
    page = AnswerPage(desk, CompareParameters, "Compare", _comparison_html, values)

    def chosen(folders: list[Path]) -> None:
        shown = [scrub_paths(str(folder)) for folder in folders]
        page.form.set("base", (shown[0],))
        page.form.set("new", tuple(shown[1:]))
        desk.do(page.ask())

    desk.on_compare.append(chosen)
    return page


def _capacity_html(parameters: CapacityParameters) -> str:
    found = capacity(parameters)
    parts = [capacity_sections.answer(found), capacity_sections.loads(found)]
    return "".join(part.html for part in parts)


def _comparison_html(parameters: CompareParameters) -> str:
    found = comparison(parameters)
    parts = [
        compare_sections.answer(found),
        compare_sections.differences(found),
        compare_sections.numbers(found),
    ]
    return "".join(part.html for part in parts)
