"""The page *Runs*: what was measured, to open, to compare, to load back into the panel, to delete."""

from __future__ import annotations

import asyncio
import functools
from html import escape
from pathlib import Path

import ipywidgets as widgets

from benchkit.errors import BenchkitError
from benchkit.records.paths import scrub_paths
from benchkit.records.project import in_project
from benchkit.widgets import listing
from benchkit.widgets.desk import Desk
from benchkit.widgets.load_page import open_report
from benchkit.widgets.parts import button, row, said, say, watch

_PAGE = 12
_COLUMNS = ("requests/s", "tokens/s", "TTFT p50", "TTFT p95", "ITL mean")
_NUMBER_HEADS = ("requests/s", "tokens/s", "TTFT p50, ms", "TTFT p95, ms", "ITL, ms")
_HEADS = ("", "UTC", "name", "verdict", *_NUMBER_HEADS, "differs in")
_WIDTHS = "28px 118px 150px 92px repeat(5, 84px) minmax(140px, 1fr)"


class RunsPage(widgets.VBox):
    """The runs and sweeps in ``outputs``.

    Args:
        desk: what the pages share.
        out: folder that holds them.
    """

    def __init__(self, desk: Desk, out: str = "outputs") -> None:
        self._desk, self._out = desk, out
        self._entries: list[listing.Entry] = []
        self._first = 0
        self._ticks: dict[Path, widgets.Checkbox] = {}
        self._chosen: set[Path] = set()
        self._asked_to_delete = False
        self._told = said()
        self.rows = widgets.VBox()
        self._pager = said()
        self.open_button = button("Open report", self._open_report, tip="the report of the marked one")
        self.compare_button = button(
            "Compare", self._compare_them, tip="the first of the marked with the others"
        )
        self.load_button = button(
            "Load into panel", self._load_it, tip="its parameters, on the page Run or Sweep"
        )
        self.delete_button = button("Delete", self._delete_them, tip="asks once more", look="danger")
        self.keep_button = button("Keep", self._do_not_delete)
        super().__init__(
            [
                row(
                    self.open_button,
                    self.compare_button,
                    self.load_button,
                    self.delete_button,
                    self.keep_button,
                    self._told,
                ),
                self.rows,
                row(
                    button("Newer", lambda: self._turn(-_PAGE)),
                    button("Older", lambda: self._turn(_PAGE)),
                    self._pager,
                    button("Refresh", lambda: desk.do(self.refresh()), tip="look at the folder again"),
                ),
            ]
        )
        desk.on_measured.append(lambda: desk.do(self.refresh()))
        desk.do(self.refresh(recovering=True))

    async def refresh(self, *, recovering: bool = False) -> None:
        """Looks at the folder again; recovers first what a kernel that ended left half-way, where asked."""
        out = in_project(self._out)
        if recovering:
            found = await asyncio.to_thread(listing.recover_all, out)
            if found:
                say(self._told, f"recovered: {', '.join(path.name for path in found)}")
        self._entries = await asyncio.to_thread(listing.listing, out)
        there = {entry.path for entry in self._entries}
        self._chosen &= there
        self._show()

    def _show(self) -> None:
        last = max(len(self._entries) - 1, 0)
        self._first = max(0, min(self._first, last - last % _PAGE))
        shown = self._entries[self._first : self._first + _PAGE]
        self._ticks = {}
        rows = [_grid([widgets.HTML(_head(head)) for head in _HEADS])]
        for entry in shown:
            tick = widgets.Checkbox(
                value=entry.path in self._chosen,
                indent=False,
                tooltip=f"mark {entry.path.name}",
                layout={"width": "24px"},
            )
            watch(tick, "value", functools.partial(self._mark, entry.path))
            self._ticks[entry.path] = tick
            rows.append(_grid([tick, *_cells(entry)]))
        self.rows.children = (
            rows if shown else [said(f"nothing in {scrub_paths(str(in_project(self._out)))} yet")]
        )
        count = len(self._entries)
        say(self._pager, f"{self._first + 1} to {self._first + len(shown)} of {count}" if shown else "")
        self._buttons()

    def _mark(self, path: Path, on: bool) -> None:
        (self._chosen.add if on else self._chosen.discard)(path)
        self._do_not_delete()

    def _buttons(self) -> None:
        marked = self.marked
        one = len(marked) == 1
        self.open_button.disabled = not one
        self.load_button.disabled = not one
        self.compare_button.disabled = len(marked) < 2 or any(entry.status == "running" for entry in marked)
        self.delete_button.disabled = not marked
        many = f"{len(marked)} for good" if self._asked_to_delete else ""
        self.delete_button.description = f"Delete {many}".strip()
        self.keep_button.layout.display = "" if self._asked_to_delete else "none"

    @property
    def marked(self) -> list[listing.Entry]:
        """The marked ones, the oldest first."""
        return [entry for entry in reversed(self._entries) if entry.path in self._chosen]

    def _turn(self, by: int) -> None:
        self._first += by
        self._show()

    def _open_report(self) -> None:
        self._desk.do(open_report(self._desk, self.marked[0].path, self._told))

    def _compare_them(self) -> None:
        for each in self._desk.on_compare:
            each([entry.path for entry in self.marked])

    def _load_it(self) -> None:
        entry = self.marked[0]
        for each in self._desk.on_load:
            each("sweep" if entry.is_sweep else "run", dict(entry.parameters))

    def _delete_them(self) -> None:
        if not self._asked_to_delete:
            self._asked_to_delete = True
            names = ", ".join(entry.path.name for entry in self.marked)
            say(self._told, f"press again to delete {names} with all records", "error")
            self._buttons()
            return
        self._asked_to_delete = False
        try:
            for entry in self.marked:
                listing.delete(entry)
            say(self._told, "deleted")
        except (BenchkitError, OSError) as error:
            say(self._told, scrub_paths(str(error)), "error")
        self._desk.do(self.refresh())

    def _do_not_delete(self) -> None:
        if self._asked_to_delete:
            say(self._told, "")
        self._asked_to_delete = False
        self._buttons()


def _head(text: str) -> str:
    side = "right" if text in _NUMBER_HEADS else "left"
    return f'<div style="text-align:{side}; font-weight:600">{escape(text)}</div>'


def _cells(entry: listing.Entry) -> list[widgets.HTML]:
    finished = entry.status == "complete"
    kind = {"valid": "state-good", "invalid": "state-bad"}.get(entry.verdict if finished else "", "quiet")
    what = entry.status if not finished else "sweep" if entry.is_sweep else entry.verdict
    numbers = [entry.numbers.get(column, "") for column in _COLUMNS]
    if entry.is_sweep:
        numbers[0] = entry.numbers["points"]
    texts = [
        f'<span title="{escape(entry.path.name)}">{escape(entry.created)}</span>',
        escape(_name(entry)),
        f'<span class="bk-{kind}">{escape(what)}</span>',
        *(f'<span style="float:right">{escape(number)}</span>' for number in numbers),
        f'<span class="bk-quiet">{escape(entry.told)}</span>',
    ]
    return [widgets.HTML(text) for text in texts]


def _name(entry: listing.Entry) -> str:
    """The part of the folder's name that a person chose."""
    return "-".join(entry.path.name.split("-")[1:-1]) or entry.path.name


def _grid(children: list[widgets.Widget]) -> widgets.GridBox:
    made = widgets.GridBox(
        children, layout=widgets.Layout(grid_template_columns=_WIDTHS, grid_gap="0 6px", width="100%")
    )
    made.add_class("bk-row")
    return made
