"""One run from its parameters to a finished folder: preflight, plan, load, numbers, verdict."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import shutil
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from benchkit.errors import LoadError, OutOfDescriptors, TargetError, TranscriptionFailed
from benchkit.experiments.recording import Hooks, Recording
from benchkit.parameters import RunParameters, parameters_hash
from benchkit.plan.plan import Plan
from benchkit.plan.spec import PlanSpec
from benchkit.records import manifest as manifests
from benchkit.records import processes, store
from benchkit.records.project import in_project
from benchkit.target import normalise_url

if TYPE_CHECKING:
    from benchkit.serving.process import ServerProcess

__all__ = ["Hooks", "PairHalf", "measure"]

_SLOW_IMPORTS = (
    "pandas",
    "benchkit.analysis.metrics",
    "benchkit.analysis.validity",
    "benchkit.records.stored",
)


class PairHalf(NamedTuple):
    """A run's place in a comparison of pairs; the manifest's ``pair``."""

    comparison: str
    """Name of the comparison's folder."""
    number: int
    side: str
    contents: int
    """Which contents go with the seed's times and lengths."""


async def measure(
    parameters: RunParameters, hooks: Hooks | None = None, *, half: PairHalf | None = None
) -> Path:
    """Runs one benchmark and returns its finished folder.

    An interrupt (a cancelled task) ends the load at once; what was measured is finished and stored, then the
    interrupt goes on its way.

    Args:
        parameters: what to measure.
        hooks: who is told how it goes.
        half: where it is half of a pair.

    Raises:
        ParameterError: the parameters make no sense together with the server.
        TargetError: the server cannot be reached or used.
        PreflightFailed: a run would measure nothing.
        LoadError: a process of ours failed before anything was measured.
    """
    hooks = hooks or Hooks()
    with contextlib.ExitStack() as stack:
        if parameters.url:
            url = normalise_url(parameters.url)
        else:
            hooks.stage("starting the embedded server")
            url = stack.enter_context(_embedded()).url
        hooks.stage(f"checking {url}")
        return await _measure(parameters, url, hooks, half)


def _embedded() -> ServerProcess:
    from benchkit import serving

    return serving.start(backend="simulated")


async def _measure(parameters: RunParameters, url: str, hooks: Hooks, half: PairHalf | None) -> Path:
    from benchkit.experiments import preflight

    if parameters.repeats == 0:
        from benchkit.analysis.repeat_looks import LOOKS

        most = LOOKS[-1]
    else:
        most = parameters.repeats
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
            contents=half.contents if half else 0,
        )
        for repeat in range(most)
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
    if half is not None:
        manifest["pair"] = half._asdict()
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
