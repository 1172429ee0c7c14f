"""Waits between two loads until the server has nothing left of the one before."""

from __future__ import annotations

import asyncio
import time
from typing import Any, NamedTuple

from benchkit.errors import TargetError
from benchkit.http import ControlClient
from benchkit.parameters import RunParameters
from benchkit.telemetry.prometheus import parse

_QUEUES = frozenset({"vllm:num_requests_running", "vllm:num_requests_waiting"})
_LOOK_EVERY_S = 0.25
_LIKE_BEFORE = 1.5
"""A probe that takes less than so many times what it took on the idle server finds it idle."""
_FLOOR_S = 0.005
_PROBES = 3


class Settled(NamedTuple):
    """How a wait went."""

    seconds: float
    by: str
    """``metrics``, ``probe``, or ``nothing`` where the server answers neither."""
    empty: bool
    """Whether the server was found idle; False when the time was up first."""


class Settler:
    """Knows how an idle server answers, and waits until it does again.

    Args:
        url: the server, without ``/v1``.
        parameters: how to reach it.
        model: the model to ask.
    """

    def __init__(self, url: str, parameters: RunParameters, model: str) -> None:
        p = parameters
        self._url, self._parameters, self._model = url, p, model
        self._client = ControlClient(
            url, api_key_env=p.api_key_env, headers=p.headers, verify_tls=p.verify_tls
        )
        self._idle_s: float | None = None

    def close(self) -> None:
        """Closes its connection."""
        self._client.close()

    async def settle(self, most_s: float) -> Settled:
        """Waits until the server's queue is empty, at most so many seconds."""
        return await asyncio.to_thread(self._settle, most_s)

    async def learn(self) -> None:
        """Asks the server, which is idle now, how long a probe takes; only where it tells no queue."""
        if await asyncio.to_thread(self._queued) is None:
            times = [await asyncio.to_thread(self._probe) for _ in range(_PROBES)]
            known = sorted(each for each in times if each is not None)
            self._idle_s = known[len(known) // 2] if known else None

    async def reset_cache(self) -> bool:
        """Asks the server to forget its prefix cache; gives whether it did (vLLM: only with VLLM_SERVER_DEV_MODE=1)."""
        return await asyncio.to_thread(self._reset)

    def _settle(self, most_s: float) -> Settled:
        began = time.monotonic()
        while True:
            by, idle = self._look()
            seconds = time.monotonic() - began
            if idle or by == "nothing" or seconds >= most_s:
                return Settled(round(seconds, 3), by, empty=idle)
            time.sleep(min(_LOOK_EVERY_S, max(0.0, most_s - seconds)))

    def _look(self) -> tuple[str, bool]:
        queued = self._queued()
        if queued is not None:
            return "metrics", queued == 0
        if self._idle_s is None:
            return "nothing", False
        took_s = self._probe()
        return "probe", took_s is not None and took_s <= max(
            _LIKE_BEFORE * self._idle_s, self._idle_s + _FLOOR_S
        )

    def _queued(self) -> float | None:
        """Requests that run or wait, by the server's own ``/metrics``; None where it does not say."""
        try:
            found = [each.value for each in parse(self._client.metrics()) if each.name in _QUEUES]
        except (TargetError, ValueError):
            return None
        return sum(found) if found else None

    def _probe(self) -> float | None:
        """Seconds that a request for one token takes; None when it fails."""
        endpoint = self._parameters.endpoint
        words = f"{time.monotonic_ns()} how long does this take"
        body: dict[str, Any] = {"model": self._model, "max_tokens": 1, "temperature": 0.0}
        body |= (
            {"prompt": words}
            if endpoint == "completions"
            else {"messages": [{"role": "user", "content": words}]}
        )
        began = time.monotonic()
        try:
            answer = self._client.complete(body, endpoint)
        except TargetError:
            return None
        return time.monotonic() - began if answer.status == 200 else None

    def _reset(self) -> bool:
        try:
            answer = self._client.request("POST", self._client.root_url("/reset_prefix_cache"))
        except TargetError:
            return False
        told = answer.json() if answer.status == 200 and answer.body else None
        refused = isinstance(told, dict) and told.get("success") is False
        return answer.status == 200 and not refused


def first_model(url: str, parameters: RunParameters) -> str:
    """The model that a server names first; empty where it names none.

    Args:
        url: the server.
        parameters: how to reach it.

    Raises:
        TargetError: it cannot be reached or is no such API.
    """
    p = parameters
    with ControlClient(url, api_key_env=p.api_key_env, headers=p.headers, verify_tls=p.verify_tls) as client:
        models = client.models()
    return models[0].id if models else ""
