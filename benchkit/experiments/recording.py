"""The loads of one run, what is sampled beside them, and the folder that they leave."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchkit.experiments.finishing import complete, summarised
from benchkit.experiments.loading import load_spec, ns
from benchkit.load.launch import Launcher, LoadResult
from benchkit.load.progress import Progress
from benchkit.parameters import RunParameters
from benchkit.plan.spec import PlanSpec
from benchkit.records import manifest as manifests
from benchkit.records import processes, store
from benchkit.target import basic_authorization

if TYPE_CHECKING:
    from benchkit.experiments.preflight import Preflight
    from benchkit.telemetry.sample import Sample
    from benchkit.telemetry.sampler import Sampler


@dataclass(frozen=True, slots=True)
class Hooks:
    """Who is told how a run goes.

    Attributes:
        on_stage: called with a sentence when a stage begins.
        on_preflight: called with what the preflight found.
        on_progress: called about twice a second while load is sent.
        on_start: called with the launcher of each load, whose ``stop`` ends it early.
    """

    on_stage: Callable[[str], None] | None = None
    on_preflight: Callable[[Preflight], None] | None = None
    on_progress: Callable[[Progress], None] | None = None
    on_start: Callable[[Launcher], None] | None = None

    def stage(self, text: str) -> None:
        """Says that a stage begins."""
        if self.on_stage is not None:
            self.on_stage(text)


class Recording:
    """The loads of one run and what they leave behind.

    Attributes:
        stopped_by: why the run ended early; ``None`` when it did not.
    """

    def __init__(
        self, parameters: RunParameters, folder: store.RunFolder, found: Preflight, hooks: Hooks
    ) -> None:
        self._parameters, self._folder, self._found, self._hooks = parameters, folder, found, hooks
        self._results: list[LoadResult] = []
        self._samples: list[Sample] = []
        self._looks: list[dict[str, Any]] = []
        self.stopped_by: str | None = None

    async def run(self, specs: list[PlanSpec], url: str) -> None:
        """Sends each repeat's plan, one after the other, samples beside them; with ``repeats`` 0 until it is sure."""
        processes.remember(self._folder.path, "runner", os.getpid())
        async with self._sampled(url) as server:
            for spec in specs:
                await self._send(spec, url)
                if self.stopped_by is not None:
                    return
                if self._parameters.repeats == 0 and await asyncio.to_thread(self._is_sure, server):
                    return

    def _is_sure(self, server: Sampler) -> bool:
        """Looks at the repeats so far, where a look is due, and tells whether they are enough."""
        from benchkit.analysis.repeat_looks import LOOKS, sureness

        count = len(self._results)
        if count not in LOOKS:
            return False
        facts = self._facts(self._shifted(server.samples))
        found = sureness(summarised(self._folder.path, self._parameters, facts))
        self._looks.append({"repeats": count, **found._asdict()})
        self._hooks.stage(f"after {count} repeats: {found.why}")
        return found.sure

    @contextlib.asynccontextmanager
    async def _sampled(self, url: str) -> AsyncIterator[Sampler]:
        """Samples the server's ``/metrics`` and this machine as long as the block lasts."""
        from benchkit.http import ControlClient
        from benchkit.telemetry.host import host_sampler
        from benchkit.telemetry.prometheus import metrics_sampler

        p = self._parameters
        self._sampled_ns = began_ns = time.monotonic_ns()
        client = ControlClient(url, api_key_env=p.api_key_env, headers=p.headers, verify_tls=p.verify_tls)
        server, host = metrics_sampler(client.metrics, started_ns=began_ns), host_sampler(started_ns=began_ns)
        try:
            async with server, host:
                yield server
        finally:
            client.close()
            self._samples = self._shifted([*server.samples, *host.samples])

    def _shifted(self, samples: Iterable[Sample]) -> list[Sample]:
        """Samples on the run's clock, which begins with its first load."""
        start_ns = self._results[0].start_ns if self._results else self._sampled_ns
        return [sample._replace(time_ns=sample.time_ns + self._sampled_ns - start_ns) for sample in samples]

    async def _send(self, plan: PlanSpec, url: str) -> None:
        of = f" of {self._parameters.repeats}" if self._parameters.repeats else ""
        part = "" if self._parameters.repeats == 1 else f" (repeat {plan.repeat + 1}{of})"
        self._hooks.stage(f"sending load{part}")
        origin_ns = self._results[0].start_ns if self._results else 0
        spec = load_spec(
            self._parameters,
            plan,
            url,
            exact_length=bool(self._found.ignore_eos_honoured),
            origin_ns=origin_ns,
            run_id=self._folder.path.name,
        )
        headers = {**basic_authorization(url), **self._parameters.headers}
        launcher = Launcher(spec, self._folder.path, headers=headers, on_progress=self._hooks.on_progress)
        if self._hooks.on_start is not None:
            self._hooks.on_start(launcher)
        task = asyncio.create_task(launcher.run())
        try:
            result = await asyncio.shield(task)
        except asyncio.CancelledError:
            launcher.stop("interrupt")
            self._results.append(await task)
            raise
        self._results.append(result)
        self.stopped_by = result.stopped_by

    def finish(self) -> dict[str, Any]:
        """Turns what is there into the finished folder; returns the manifest."""
        from benchkit.telemetry.sample import to_table

        facts = self._facts(self._samples)
        clock = None
        if self._results:
            anchor = manifests.clock_anchor()
            start_ns = self._results[0].start_ns
            clock = {
                "wall_ns": anchor["wall_ns"] - anchor["monotonic_ns"] + start_ns,
                "monotonic_ns": start_ns,
            }
        telemetry = to_table(self._samples) if self._samples else None
        return complete(self._folder, self._parameters, facts, clock=clock, telemetry=telemetry)

    def _facts(self, samples: list[Sample]) -> dict[str, Any]:
        """The manifest's ``load``, as far as the run has come."""
        facts = _load_facts(self._results, self._parameters, self.stopped_by)
        facts["server_starts"] = [_start_in(samples, result) for result in self._results]
        if self._parameters.repeats == 0:
            from benchkit.analysis.repeat_looks import level

            facts |= {"looks": list(self._looks), "level": level()}
        return facts


def _start_in(samples: list[Sample], result: LoadResult) -> float | None:
    """When the server began that answered a repeat, by the samples of its window."""
    from benchkit.telemetry.prometheus import start_in

    return start_in(
        each
        for each in samples
        if each.source == "server" and result.window_start_ns <= each.time_ns < result.window_end_ns
    )


def _load_facts(
    results: list[LoadResult], parameters: RunParameters, stopped_by: str | None
) -> dict[str, Any]:
    windows = [{"start_ns": r.window_start_ns, "end_ns": r.window_end_ns} for r in results]
    whole = (
        {"start_ns": windows[0]["start_ns"], "end_ns": windows[-1]["end_ns"]}
        if windows
        else {"start_ns": ns(parameters.warmup_s), "end_ns": ns(parameters.warmup_s)}
    )
    workers = [
        {**worker, "repeat": repeat} for repeat, result in enumerate(results) for worker in result.workers
    ]
    return {
        "window": whole,
        "windows": windows,
        "workers": workers,
        "stopped_by": stopped_by,
        "lost_bytes": sum(result.lost_bytes for result in results),
        "fallbacks": sorted({name for worker in workers for name in worker.get("fallbacks", ())}),
    }
