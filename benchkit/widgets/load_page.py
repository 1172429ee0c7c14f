"""The pages *Run* and *Sweep*: parameters, start and stop, what happens meanwhile, and what came of it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

import ipywidgets as widgets

from benchkit.errors import BenchkitError, ParameterError
from benchkit.experiments.run import measure
from benchkit.experiments.sweeping import SweepHooks
from benchkit.parameters import RunParameters, SweepParameters, parameters_hash
from benchkit.records import sweeps
from benchkit.records.paths import scrub_paths
from benchkit.records.project import in_project
from benchkit.report.run import load_run
from benchkit.report.sweep import load_sweep
from benchkit.widgets.copy_as import CopyAs
from benchkit.widgets.desk import Desk
from benchkit.widgets.form import Form
from benchkit.widgets.job import State, Watcher
from benchkit.widgets.live_view import LiveView, ended_as
from benchkit.widgets.parts import button, row, said, say, watch


class LoadPage(widgets.VBox):
    """Parameters of a run or a sweep, and everything that is done with them.

    Args:
        desk: what the pages share.
        model: ``RunParameters`` or ``SweepParameters``.
        values: what the form begins with.
    """

    def __init__(
        self,
        desk: Desk,
        model: type[RunParameters],
        values: Mapping[str, Any] | None = None,
    ) -> None:
        self._desk, self.is_sweep = desk, model is SweepParameters
        self._kind = noun = "sweep" if self.is_sweep else "run"
        self._measured: RunParameters | None = None
        self.live = LiveView()
        self._told = said()
        self._outcome = widgets.HTML()
        self.start_button = button(
            f"Start {noun}", lambda: desk.do_settled(self.start), tip="send load", look="primary"
        )
        self.stop_button = button(
            "Stop", self._stop, tip="end the load now; what was measured is kept", look="danger"
        )
        self._stays = widgets.Checkbox(
            description="goes on when this page is closed", indent=False, layout=widgets.Layout(width="auto")
        )
        watch(self._stays, "value", self._set_stays)
        self._report_button = button("Open report", self._report, tip="the report of what was measured last")
        self.form: Form[RunParameters] = Form(model, values, on_change=self._changed)
        self.copy_as = CopyAs(desk.bridge, lambda: self.form.parameters)
        self._made: Path | None = None
        super().__init__(
            [
                row(self.start_button, self.stop_button, self._stays, self._told),
                self.live,
                row(self._report_button),
                self._outcome,
                self.form,
                self.copy_as,
            ]
        )
        desk.on_url.append(lambda url: self.form.set("url", url))
        self._changed()
        if desk.job.is_busy and desk.job.kind == self._kind:
            self._watch()

    def start(self) -> None:
        """Begins, where the parameters make sense and nothing else is being measured."""
        try:
            parameters = self.form.parameters
            self._desk.job.start(self._kind, lambda hooks: self._measure(parameters, hooks))
        except BenchkitError as error:
            say(self._told, str(error), "error")
            return
        say(self._told, "")
        self._watch()

    def _watch(self) -> None:
        """Shows the measurement under way."""
        self._outcome.value, self._made = "", None
        self.live.begin()
        self._desk.job.watch(Watcher(self.live.hooks(), self._ended))
        self.changed_state()

    def changed_state(self) -> None:
        """Shows which buttons can be pressed now."""
        busy = self._desk.job.is_busy
        self.start_button.disabled = busy or bool(self.form.problems)
        self.stop_button.disabled = self._desk.job.state is not State.RUNNING
        self._report_button.disabled = self._made is None
        self._report_button.layout.display = "" if self._made is not None else "none"

    async def _measure(self, parameters: RunParameters, hooks: SweepHooks) -> Path:
        self._measured = parameters
        if isinstance(parameters, SweepParameters):
            from benchkit.experiments.sweep import measure_sweep

            return await measure_sweep(parameters, hooks)
        return await measure(parameters, hooks)

    def _stop(self) -> None:
        self._desk.job.stop()
        self.live.stage("stopping: what was measured is being stored")
        self.changed_state()

    def _ended(self) -> None:
        job, asked = self._desk.job, self._measured
        made = job.folder
        if made is None and isinstance(asked, SweepParameters):
            same = parameters_hash(asked.model_copy(update={"resume": "auto", "out": "outputs"}))
            made = sweeps.unfinished(in_project(asked.out), same)
        shown = scrub_paths(str(made)) if made is not None else ""
        self.live.end(*ended_as(job.state, scrub_paths(job.error), job.why_stopped, shown))
        self._made = made
        if made is not None:
            self._desk.do(self._show(made))
        for each in self._desk.on_measured:
            each()
        self.changed_state()

    async def _show(self, made: Path) -> None:
        """What came of it, in a few numbers."""
        try:
            self._outcome.value = await asyncio.to_thread(_outcome_html, made, is_sweep=self.is_sweep)
        except BenchkitError as error:
            say(self._outcome, scrub_paths(str(error)), "error")

    def _report(self) -> None:
        if self._made is not None:
            self._desk.do(open_report(self._desk, self._made, self._told))

    def _set_stays(self, stays: bool) -> None:
        self._desk.job.stays = stays

    def _changed(self) -> None:
        self.copy_as.refresh()
        problems = self.form.problems
        if problems:
            named = ", ".join(sorted(problems))
            say(self._told, f"not ready: {named}", "error")
        elif not self._desk.job.is_busy:
            say(self._told, self._what())
        self.changed_state()

    def _what(self) -> str:
        """What would be sent, in a sentence."""
        if self.is_sweep:
            return "ready"
        from benchkit.experiments.preview import preview

        try:
            return (
                "ready: " + preview(self.form.parameters).text().splitlines()[0].removeprefix("load:").strip()
            )
        except ParameterError as error:
            return str(error)


async def open_report(desk: Desk, folder: Path, told: widgets.HTML) -> None:
    """Opens the report of a run or sweep in a tab, and links to it; makes it where there is none."""
    from benchkit.report.execute import report_from_run, report_from_sweep

    page = folder / "report.html"
    is_there = page.is_file()
    try:
        if not is_there:
            say(told, "making the report: some seconds …")
            make = report_from_sweep if sweeps.is_sweep(folder) else report_from_run
            page = await asyncio.to_thread(make, folder)
    except BenchkitError as error:
        say(told, scrub_paths(str(error)), "error")
        return
    where, address = scrub_paths(str(page)), desk.address_of(page)
    if address is None:
        say(told, f"report: {where}; Jupyter does not serve that folder")
        return
    told.value = f'<a href="{escape(address)}" target="_blank" rel="noopener">report: {escape(where)}</a>'
    if is_there:
        desk.bridge.open_tab(address)


def _outcome_html(made: Path, *, is_sweep: bool) -> str:
    if is_sweep:
        from benchkit.report import sweep_tables

        return sweep_tables.stats(load_sweep(made).points).html
    from benchkit.report import sections

    run = load_run(made)
    return sections.verdict(run).html + sections.headline(run).html
