"""One run from its parameters to a finished folder: preflight, plan, load, records, numbers, verdict."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import math
import os
import shutil
import threading
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from benchkit.errors import InvalidParameter, LoadError, OutOfDescriptors, TargetError, TranscriptionFailed
from benchkit.load.launch import Launcher, LoadResult, Progress
from benchkit.load.spec import LoadSpec
from benchkit.parameters import RunParameters, parameters_hash
from benchkit.plan.plan import Plan
from benchkit.plan.spec import PlanSpec
from benchkit.records import manifest as manifests
from benchkit.records import processes, store
from benchkit.records.atomic import atomic_path
from benchkit.records.project import in_project
from benchkit.redaction import redact_url
from benchkit.target import COMPLETION_PATHS, basic_authorization, normalise_url

if TYPE_CHECKING:
    from benchkit.experiments.preflight import Preflight
    from benchkit.serving.process import ServerProcess
    from benchkit.telemetry.sample import Sample

TEXTS_FOLDER = "texts"
TEXTS_NAME = "texts.jsonl"
"""Prompts and answers, a line a request; only with ``keep_text``."""
_NANO = 1_000_000_000
_SLOW_IMPORTS = (
    "pandas",
    "benchkit.analysis.metrics",
    "benchkit.analysis.validity",
    "benchkit.records.stored",
)


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


async def measure(parameters: RunParameters, hooks: Hooks | None = None) -> Path:
    """Runs one benchmark and returns its finished folder.

    An interrupt (a cancelled task) ends the load at once; what was measured is finished and stored, then the
    interrupt goes on its way.

    Raises:
        ParameterError: the parameters make no sense together with the server.
        TargetError: the server cannot be reached or used.
        PreflightFailed: a run would measure nothing.
        LoadError: a process of ours failed before anything was measured.
    """
    hooks = hooks or Hooks()
    if parameters.repeats == 0:
        raise InvalidParameter(
            "'repeats' is 0 (until the answer is sure), which needs intervals that this version does "
            "not compute yet; give a number of repeats"
        )
    with contextlib.ExitStack() as stack:
        if parameters.url:
            url = normalise_url(parameters.url)
        else:
            hooks.stage("starting the embedded server")
            url = stack.enter_context(_embedded()).url
        hooks.stage(f"checking {url}")
        return await _measure(parameters, url, hooks)


def _embedded() -> ServerProcess:
    from benchkit import serving

    return serving.start(backend="simulated")


async def _measure(parameters: RunParameters, url: str, hooks: Hooks) -> Path:
    from benchkit.experiments import preflight

    warm_up = threading.Thread(target=_import_slow_parts, name="benchkit-imports", daemon=True)
    warm_up.start()
    found = await asyncio.to_thread(preflight.check, parameters, url)
    if hooks.on_preflight is not None:
        hooks.on_preflight(found)
    found.raise_if_fatal()
    specs = [
        PlanSpec.of(
            parameters,
            model=found.model,
            vocabulary=found.vocabulary,
            stream_usage=found.stream_usage,
            ignore_eos=found.send_ignore_eos,
            repeat=repeat,
        )
        for repeat in range(parameters.repeats)
    ]
    plan = Plan(specs[0])
    digest = parameters_hash(parameters)
    folder = store.create(in_project(parameters.out), parameters.name, digest)
    manifest = manifests.new(
        name=parameters.name,
        parameters=parameters.model_dump(mode="json"),
        parameters_hash=digest,
        clock=manifests.clock_anchor(),
    )
    manifest |= {
        "plan": _plan_facts(plan),
        "plan_spec": specs[0].to_json(),
        "preflight": found.as_dict(),
        "server": {"url": url, **found.server},
        "environment": await asyncio.to_thread(_environment),
    }
    folder.write_manifest(manifest)
    recording = Recording(parameters, folder, found, hooks)
    try:
        await recording.run(specs, url)
    except asyncio.CancelledError:
        recording.stopped_by = "interrupt"
        recording.finish()
        raise
    except (OutOfDescriptors, TargetError):
        # Refused before any load: an empty run would only be in the way.
        shutil.rmtree(folder.path)
        raise
    except TranscriptionFailed:
        processes.forget(folder.path)
        raise
    except LoadError:
        recording.stopped_by = recording.stopped_by or "worker_died"
        recording.finish()
        raise
    warm_up.join()
    hooks.stage("computing the numbers")
    await asyncio.to_thread(recording.finish)
    return folder.path


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
        self.stopped_by: str | None = None

    async def run(self, specs: list[PlanSpec], url: str) -> None:
        """Sends each repeat's plan, one after the other, samples beside them."""
        processes.remember(self._folder.path, "runner", os.getpid())
        async with self._sampled(url):
            for spec in specs:
                await self._send(spec, url)
                if self.stopped_by is not None:
                    return

    @contextlib.asynccontextmanager
    async def _sampled(self, url: str) -> AsyncIterator[None]:
        """Samples the server's ``/metrics`` and this machine as long as the block lasts."""
        from benchkit.http import ControlClient
        from benchkit.telemetry.host import host_sampler
        from benchkit.telemetry.prometheus import metrics_sampler

        p = self._parameters
        began_ns = time.monotonic_ns()
        client = ControlClient(url, api_key_env=p.api_key_env, headers=p.headers, verify_tls=p.verify_tls)
        server, host = metrics_sampler(client.metrics, started_ns=began_ns), host_sampler(started_ns=began_ns)
        try:
            async with server, host:
                yield
        finally:
            client.close()
            start_ns = self._results[0].start_ns if self._results else began_ns
            self._samples = [
                sample._replace(time_ns=sample.time_ns + began_ns - start_ns)
                for sample in [*server.samples, *host.samples]
            ]

    async def _send(self, plan: PlanSpec, url: str) -> None:
        part = (
            f" (repeat {plan.repeat + 1} of {self._parameters.repeats})"
            if self._parameters.repeats > 1
            else ""
        )
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

        facts = _load_facts(self._results, self._parameters, self.stopped_by)
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


def complete(
    folder: store.RunFolder,
    parameters: RunParameters,
    facts: dict[str, Any],
    *,
    clock: dict[str, int] | None = None,
    telemetry: Any = None,
) -> dict[str, Any]:
    """Merges a run's parts, computes its summary and closes its folder.

    Args:
        folder: the run, whose processes have ended.
        parameters: as it was asked for.
        facts: the manifest's ``load``.
        clock: the anchor of the run's time, where it is known better than at its creation.
        telemetry: samples, a table of ``schema.TELEMETRY``.

    Returns:
        The manifest.
    """
    from benchkit.analysis.metrics import build_summary
    from benchkit.analysis.window import Window
    from benchkit.objectives import parse

    if clock is not None:
        folder.update_manifest(clock=clock)
    _merge_texts(folder.path)
    store.merge_parts(folder.path)
    run = store.load(folder.path)
    window = facts["window"]
    summary = build_summary(
        run.requests,
        run.chunks,
        window=Window(window["start_ns"], window["end_ns"]),
        objectives=[parse(text) for text in parameters.slo],
        load_facts=facts,
        parameters=parameters.model_dump(mode="json"),
    )
    stopped_by = facts.get("stopped_by")
    status = "complete" if stopped_by is None else "interrupted" if stopped_by in _INTERRUPTS else "failed"
    (folder.path / "load.json").unlink(missing_ok=True)
    return store.finish(folder, status=status, summary=summary, load=facts, telemetry=telemetry)


def _merge_texts(folder: Path) -> None:
    """Puts the kept prompts and answers of all parts into one file, ``texts.jsonl``."""
    parts = sorted((folder / TEXTS_FOLDER).glob("*.jsonl"))
    if parts:
        with atomic_path(folder / TEXTS_NAME) as whole, whole.open("wb") as file:
            for part in parts:
                with part.open("rb") as source:
                    shutil.copyfileobj(source, file)
        shutil.rmtree(folder / TEXTS_FOLDER)


_INTERRUPTS = frozenset({"interrupt", "parent_died"})


def load_spec(
    parameters: RunParameters, plan: PlanSpec, url: str, *, exact_length: bool, origin_ns: int, run_id: str
) -> LoadSpec:
    """What the load processes of one repeat are told."""
    p = parameters
    parts = urlsplit(url)
    port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    path = f"{parts.path.rstrip('/')}/v1/{COMPLETION_PATHS[p.endpoint]}" + (
        f"?{parts.query}" if parts.query else ""
    )
    return LoadSpec(
        scheme=parts.scheme,
        host=parts.hostname or "",
        port=port,
        path=path,
        target=redact_url(url),
        model=plan.model,
        api_key_env=p.api_key_env,
        load=p.load,
        concurrency=0 if plan.is_open_loop else p.streams,
        max_in_flight=p.max_in_flight if plan.is_open_loop else 0,
        warmup_ns=_ns(p.warmup_s),
        duration_ns=_ns(p.duration_s),
        drain_ns=_ns(p.drain_s),
        timeout_ns=_ns(p.timeout_s),
        max_error_rate=p.max_error_rate,
        workers=max(1, p.workers),
        repeat=plan.repeat,
        origin_ns=origin_ns,
        transport=p.transport,
        reuse=p.connections == "reuse",
        verify_tls=p.verify_tls,
        keep_text=p.keep_text,
        exact_length=exact_length and p.ignore_eos,
        run_id=run_id,
        plan=plan.to_json(),
    )


def _load_facts(
    results: list[LoadResult], parameters: RunParameters, stopped_by: str | None
) -> dict[str, Any]:
    windows = [{"start_ns": r.window_start_ns, "end_ns": r.window_end_ns} for r in results]
    whole = (
        {"start_ns": windows[0]["start_ns"], "end_ns": windows[-1]["end_ns"]}
        if windows
        else {"start_ns": _ns(parameters.warmup_s), "end_ns": _ns(parameters.warmup_s)}
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


def _plan_facts(plan: Plan) -> dict[str, Any]:
    totals = plan.totals()
    return {
        "sha256": plan.sha256,
        "requests": totals.requests,
        "prompt_tokens": totals.prompt_tokens,
        "output_tokens": totals.output_tokens,
    }


def _environment() -> dict[str, Any]:
    from benchkit.records import environment

    return environment.collect()


def _import_slow_parts() -> None:
    """Imports what is needed after the load while the server answers the preflight and the load runs."""
    for name in _SLOW_IMPORTS:
        importlib.import_module(name)


def _ns(seconds: float) -> int:
    return math.floor(seconds * _NANO + 0.5)
