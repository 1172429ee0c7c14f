"""The panel as a whole: its pages, and how it is shown only where somebody can use it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from typing import Any

import ipywidgets as widgets
import psutil

from benchkit.errors import BenchkitError
from benchkit.parameters import (
    CapacityParameters,
    CompareParameters,
    ParameterGroup,
    RunParameters,
    ServingParameters,
    SweepParameters,
)
from benchkit.widgets.answer_pages import AnswerPage, capacity_page, compare_page
from benchkit.widgets.desk import Desk
from benchkit.widgets.load_page import LoadPage
from benchkit.widgets.parts import style, watch
from benchkit.widgets.runs_page import RunsPage
from benchkit.widgets.serve_page import ServePage

INTERACTIVE_VARIABLE = "BENCHKIT_INTERACTIVE"
_SESSION_VARIABLE = "JPY_SESSION_NAME"
_PAGES: Mapping[type[ParameterGroup], str] = {
    ServingParameters: "Serve",
    RunParameters: "Run",
    SweepParameters: "Sweep",
    CapacityParameters: "Capacity",
    CompareParameters: "Compare",
}


class Cockpit(widgets.VBox):
    """The panel: pages *Serve*, *Run*, *Sweep*, *Capacity*, *Compare*, *Runs*.

    Args:
        page: which one is open at first.
        parameters: what the form of their page begins with.
        out: folder that holds the runs' folders.
    """

    def __init__(
        self, page: str = "Run", parameters: ParameterGroup | None = None, out: str = "outputs"
    ) -> None:
        self.desk = Desk()
        begun = {type(parameters): _given(parameters)} if parameters is not None else {}
        self.serve = ServePage(self.desk, begun.get(ServingParameters))
        self.run = LoadPage(self.desk, RunParameters, begun.get(RunParameters))
        self.sweep = LoadPage(self.desk, SweepParameters, begun.get(SweepParameters))
        self.capacity = capacity_page(self.desk, begun.get(CapacityParameters))
        self.compare = compare_page(self.desk, begun.get(CompareParameters))
        self.runs = RunsPage(self.desk, out)
        self._pages: dict[str, widgets.Widget] = {
            "Serve": self.serve,
            "Run": self.run,
            "Sweep": self.sweep,
            "Capacity": self.capacity,
            "Compare": self.compare,
            "Runs": self.runs,
        }
        self.pages = widgets.ToggleButtons(
            options=list(self._pages),
            style={"button_width": "92px"},
            tooltips=[f"page {p}" for p in self._pages],
        )
        watch(self.pages, "value", lambda _: self._turn())
        self.desk.on_load.append(self._load)
        self.desk.on_compare.append(lambda _: self.show("Compare"))
        self.desk.on_measured.append(self._tell_all)
        super().__init__([style(), self.desk.bridge, self.pages, *self._pages.values()])
        self.add_class("bk-panel")
        for name, each in self._pages.items():
            each.add_class(f"bk-page-{name.lower()}")
        self.show(_PAGES.get(type(parameters), page) if parameters is not None else page)

    def show(self, page: str) -> None:
        """Opens a page.

        Raises:
            BenchkitError: there is no page of that name.
        """
        if page not in self._pages:
            raise BenchkitError(f"there is no page {page!r}; there are {', '.join(self._pages)}")
        self.pages.value = page
        self._turn()

    def form_of(self, model: type[ParameterGroup]) -> ServePage | LoadPage | AnswerPage:
        """The page that asks for that group of parameters."""
        page: ServePage | LoadPage | AnswerPage = self._pages[_PAGES[model]]
        return page

    def _turn(self) -> None:
        for name, page in self._pages.items():
            page.layout.display = "" if name == self.pages.value else "none"
        for each in (self.run, self.sweep):
            each.changed_state()

    def _load(self, what: str, values: dict[str, Any]) -> None:
        page = self.sweep if what == "sweep" else self.run
        page.form.fill(values)
        self.show("Sweep" if what == "sweep" else "Run")

    def _tell_all(self) -> None:
        for each in (self.run, self.sweep):
            each.changed_state()


def cockpit(page: str = "Run", out: str = "outputs") -> Cockpit | None:
    """The panel, to be a cell's last line; nothing where nobody can press a button, as under papermill.

    Args:
        page: which page is open at first.
        out: folder that holds the runs' folders.
    """
    return Cockpit(page, out=out) if is_interactive() else None


class Panel:
    """The panel of a notebook of benchkit's own, its form filled with what the parameters cell says.

    In JupyterLab a notebook shows it; in batch it shows nothing. Either way ``parameters`` are what the cells below
    it take: those of the cell, or what was made of them in the form.
    """

    def __init__(self, parameters: ParameterGroup) -> None:
        self._asked = parameters
        self._cockpit = Cockpit(parameters=parameters) if is_interactive() else None

    @property
    def parameters(self) -> Any:
        """As they are now.

        Raises:
            ParameterError: the form was changed to something that makes no sense.
        """
        if self._cockpit is None:
            return self._asked
        return self._cockpit.form_of(type(self._asked)).form.parameters

    def _ipython_display_(self) -> None:
        if self._cockpit is not None:
            from IPython.display import display

            display(self._cockpit)  # type: ignore[no-untyped-call]


def is_interactive() -> bool:
    """Whether somebody sits in front of this kernel: ``BENCHKIT_INTERACTIVE`` (1 or 0), else whether Jupyter says so.

    A loop must be running, since the panel works in it.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    told = os.environ.get(INTERACTIVE_VARIABLE, "")
    if told:
        return told != "0"
    return _SESSION_VARIABLE in os.environ and not _is_inherited()


def _is_inherited() -> bool:
    """Whether this kernel has its session's name from its parent: a notebook that executes another one in batch."""
    try:
        return _SESSION_VARIABLE in psutil.Process(os.getppid()).environ()
    except psutil.Error:
        return False


def _given(parameters: ParameterGroup) -> dict[str, Any]:
    return {name: getattr(parameters, name) for name in type(parameters).model_fields}
