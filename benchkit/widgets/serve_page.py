"""The page *Serve*: servers that benchkit starts, finds again and stops, and what any address serves."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

import ipywidgets as widgets

from benchkit import serving
from benchkit.errors import BenchkitError
from benchkit.experiments import preflight
from benchkit.experiments.doctor import render
from benchkit.parameters import RunParameters, ServingParameters, resolve
from benchkit.records.paths import scrub_text
from benchkit.serving import process
from benchkit.serving.state import ServerState
from benchkit.target import normalise_url
from benchkit.widgets.copy_as import CopyAs
from benchkit.widgets.desk import Desk
from benchkit.widgets.form import Form
from benchkit.widgets.parts import button, row, said, say

_EVERY_S = 0.5
_LOG_LINES = 12


class ServePage(widgets.VBox):
    """Servers: start, stop, use, look at.

    Args:
        desk: what the pages share.
        values: what the form begins with.
    """

    def __init__(self, desk: Desk, values: Mapping[str, Any] | None = None) -> None:
        self._desk = desk
        self._told = said()
        self.start_button = button(
            "Start server", lambda: desk.do_settled(self.start), tip="start this server", look="primary"
        )
        self.servers = widgets.VBox()
        self._cards: dict[str, _Card] = {}
        self._starting = False
        self._known_logs: set[str] = set()
        self._start_log = widgets.HTML()
        self.form: Form[ServingParameters] = Form(ServingParameters, values, on_change=self._changed)
        self.copy_as = CopyAs(desk.bridge, lambda: self.form.parameters)
        self.url = widgets.Text(
            description="url", placeholder="http://127.0.0.1:8000", style={"description_width": "40px"}
        )
        self.key_env = widgets.Text(
            description="api_key_env",
            placeholder="name of a variable",
            style={"description_width": "84px"},
            tooltip="name of the environment variable that holds the key, never the key itself",
        )
        self._found = widgets.HTML()
        super().__init__(
            [
                row(self.start_button, self._told),
                self._start_log,
                said("Servers on this machine", "head"),
                self.servers,
                said("A server that runs somewhere: what does it serve, and can it be measured?", "head"),
                row(
                    self.url,
                    self.key_env,
                    button("Look", lambda: desk.do(self.look()), tip="ask it; some short requests"),
                    button("Use it", self._use_url, tip="measure this address: sets `url` in Run and Sweep"),
                ),
                self._found,
                self.form,
                self.copy_as,
            ]
        )
        self._changed()
        self.refresh()
        desk.do(self._follow())

    def start(self) -> None:
        """Starts the server that the form describes, beside whatever else goes on."""
        if self._starting:
            return
        try:
            parameters = self.form.parameters
        except BenchkitError as error:
            say(self._told, str(error), "error")
            return
        self._starting = True
        self._changed()
        self._desk.do(self._start(parameters))

    async def _start(self, parameters: ServingParameters) -> None:
        say(self._told, "starting …")
        try:
            server = await asyncio.to_thread(lambda: serving.start(**parameters.start_arguments))
        except BenchkitError as error:
            first, _, rest = scrub_text(str(error)).partition("\n")
            say(self._told, first, "error")
            self._start_log.value = f'<div class="bk-log">{escape(rest)}</div>' if rest else ""
        else:
            self._start_log.value = ""
            say(self._told, f"it serves at {server.url}", "state-good")
            for each in self._desk.on_url:
                each(server.url)
        finally:
            self._starting = False
            self._changed()
            self.refresh()

    async def look(self) -> None:
        """Asks the address what it serves, and shows what speaks for and against measuring it."""
        say(self._found, "asking …")
        try:
            values = {"url": self.url.value.strip(), "api_key_env": self.key_env.value.strip()}
            parameters: RunParameters = resolve(values)
            if not parameters.url:
                say(self._found, "give an address first", "error")
                return
            found = await asyncio.to_thread(
                preflight.check, parameters, normalise_url(parameters.url), quick=False
            )
        except BenchkitError as error:
            say(self._found, str(error), "error")
            return
        self._found.value = f'<div class="bk-log">{escape(render(found))}</div>'

    def refresh(self) -> None:
        """Shows the servers that run now."""
        states = {state.name: state for state in process.list_servers()}
        changed = set(states) != set(self._cards)
        for name in set(self._cards) - set(states):
            del self._cards[name]
        for name, state in states.items():
            if name not in self._cards:
                self._cards[name] = _Card(state, self._use, self._stop)
            self._cards[name].refresh()
        if changed or not self.servers.children:
            shown = list(self._cards.values())
            self.servers.children = shown or [said("none runs; Run and Sweep start one where `url` is empty")]

    async def _follow(self) -> None:
        """Logs and health, live, for as long as somebody looks."""
        while True:
            await asyncio.sleep(_EVERY_S)
            if self._desk.job.is_busy or self._desk.bridge.is_gone:
                continue  # the machine belongs to the load; or nobody looks
            await asyncio.to_thread(self._probe)
            self.refresh()

    def _probe(self) -> None:
        for card in list(self._cards.values()):
            card.healthy = process.answers_health(card.state.port)

    def _stop(self, state: ServerState) -> None:
        self._desk.do(self._stop_it(state))

    async def _stop_it(self, state: ServerState) -> None:
        say(self._told, f"stopping {state.name} …")
        try:
            await asyncio.to_thread(process.stop, state.name)
            say(self._told, f"{state.name} is stopped")
        except BenchkitError as error:
            say(self._told, str(error), "error")
        self.refresh()

    def _use(self, state: ServerState) -> None:
        for each in self._desk.on_url:
            each(state.url)
        say(self._told, f"Run and Sweep now measure {state.url}")

    def _use_url(self) -> None:
        url = self.url.value.strip()
        for each in self._desk.on_url:
            each(url)
        say(self._told, f"Run and Sweep now measure {url or 'the embedded server'}")

    def _changed(self) -> None:
        self.copy_as.refresh()
        self.start_button.disabled = self._starting or bool(self.form.problems)


class _Card(widgets.VBox):
    """One server: what it is, whether it is healthy, the end of its log."""

    def __init__(self, state: ServerState, use: Any, stop: Any) -> None:
        self.state = state
        self.healthy: bool | None = None
        self._line = widgets.HTML()
        self._log = widgets.HTML()
        ends = "until it is stopped" if state.mode == "detached" else "with the process that started it"
        self._about = f"{state.backend} · {state.served_model or 'its own model'} · {state.url} · ends {ends}"
        command = shlex.join(state.command)
        folded = f'<div class="bk-log">{escape(command)}</div>'
        shown = widgets.HTML(f"<details><summary>command</summary>{folded}</details>")
        super().__init__(
            [
                row(
                    button(
                        "Use it", lambda: use(state), tip=f"measure {state.name}: sets `url` in Run and Sweep"
                    ),
                    button("Stop it", lambda: stop(state), tip=f"stop {state.name}", look="danger"),
                    self._line,
                ),
                shown,
                self._log,
            ]
        )

    def refresh(self) -> None:
        """Shows its health and log as they are now."""
        kind, word = "quiet", "…"
        if self.healthy is not None:
            kind, word = ("state-good", "healthy") if self.healthy else ("state-bad", "does not answer")
        self._line.value = f'<span class="bk-{kind}">{word}</span> <span>{escape(self._about)}</span>'
        log = process.tail(Path(self.state.log), _LOG_LINES)
        self._log.value = f'<div class="bk-log">{escape(scrub_text(log))}</div>' if log else ""
