"""The two targets of a comparison: ones that run, or servers that are started here, for all runs or for each."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Self

from benchkit.experiments.settle import Settler, first_model
from benchkit.parameters import AbParameters, RunParameters, resolve
from benchkit.serving.process import ServerProcess
from benchkit.target import normalise_url


class Targets:
    """Gives a side's target when it is its turn; an asynchronous context manager that stops what it started.

    Args:
        asked: the comparison's parameters.
        say: told when a server is started.
    """

    def __init__(self, asked: AbParameters, say: Callable[[str], None]) -> None:
        self._asked, self._say = asked, say
        self._stack = contextlib.AsyncExitStack()
        self._ready: dict[str, tuple[str, Settler]] = {}

    async def __aenter__(self) -> Self:
        await self._stack.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._stack.aclose()

    @contextlib.asynccontextmanager
    async def turn(self, side: str) -> AsyncIterator[tuple[str, Settler]]:
        """A side's address, and what waits for its server to be idle."""
        if self._asked.restart == "each":
            async with contextlib.AsyncExitStack() as alone:
                yield await self._open(side, alone)
            return
        key = f"{self._asked.url}" if self._asked.url and self._is_same(side) else side
        if key not in self._ready:
            self._ready[key] = await self._open(side, self._stack)
        yield self._ready[key]

    def _is_same(self, side: str) -> bool:
        """Whether a side's target is the first one: then it is waited for as one."""
        p = self._asked
        return side == "a" or (p.url_b == p.url and p.model_of("b") == p.model_of("a"))

    async def _open(self, side: str, stack: contextlib.AsyncExitStack) -> tuple[str, Settler]:
        p = self._asked
        given = p.url_b if side == "b" else p.url
        url = normalise_url(given) if given else (await self._start(side, stack)).url
        model = p.model_of(side)
        reach: RunParameters = resolve(p.run_values | {"url": url, "model": model})
        settler = Settler(url, reach, model or await asyncio.to_thread(first_model, url, reach))
        stack.callback(settler.close)
        await settler.learn()
        return url, settler

    async def _start(self, side: str, stack: contextlib.AsyncExitStack) -> ServerProcess:
        from benchkit import serving

        self._say(f"starting the server of side {side.upper()}")
        server = await asyncio.to_thread(lambda: serving.start(**self._asked.serving_values(side)))
        stack.callback(server.stop)
        return server
