"""What the pages of a panel share: the page in the browser, the measurement under way, and calls between pages."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any
from urllib.parse import quote

from benchkit.records.project import project_root
from benchkit.widgets.bridge import Bridge
from benchkit.widgets.job import job_of_kernel

_SETTLED_S = 0.2


class Desk:
    """What the pages of a panel share.

    Attributes:
        bridge: the page in the browser.
        job: the measurement under way.
        on_url: called with the address of a server that is to be measured.
        on_load: called with a group's name and values that are to be loaded into its page.
        on_compare: called with the folders that are to be compared.
        on_measured: called after each measurement.
    """

    def __init__(self) -> None:
        self.bridge = Bridge()
        self.job = job_of_kernel()
        self.job.pages.append(self.bridge)
        self.on_url: list[Callable[[str], None]] = []
        self.on_load: list[Callable[[str, dict[str, Any]], None]] = []
        self.on_compare: list[Callable[[list[Path]], None]] = []
        self.on_measured: list[Callable[[], None]] = []
        self._tasks: set[asyncio.Task[Any]] = set()

    def do_settled(self, then: Callable[[], None]) -> None:
        """Does something once what was entered before has arrived: a page holds entries back while a kernel is busy."""

        async def soon() -> None:
            await asyncio.sleep(_SETTLED_S)
            then()

        self.do(soon())

    def do(self, work: Coroutine[Any, Any, Any]) -> None:
        """Does something beside what the reader does; the work shows what goes wrong in it itself."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def address_of(self, path: Path) -> str | None:
        """Where the page's browser finds a file; None where Jupyter does not serve it."""
        root = Path(self.bridge.root).expanduser() if self.bridge.root else project_root()
        if not self.bridge.base or not path.resolve().is_relative_to(root.resolve()):
            return None
        return f"{self.bridge.base}files/{quote(path.resolve().relative_to(root.resolve()).as_posix())}"
