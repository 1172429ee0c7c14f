"""Makes a twin: settings with which the embedded server behaves like a real one, from a handful of short runs."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from benchkit.analysis.calibration import Fit, fit
from benchkit.analysis.engine_steps import steps_of
from benchkit.analysis.prediction import errors, predict, streams_of
from benchkit.errors import CalibrationError, InvalidParameter, TargetError
from benchkit.experiments.calibration_loads import designed_loads
from benchkit.experiments.recording import Hooks
from benchkit.experiments.run import measure
from benchkit.http import ControlClient
from benchkit.parameters import RunParameters, resolve
from benchkit.records.stored import StoredRun
from benchkit.serving.simulated.preset_file import PresetFile, write_preset
from benchkit.serving.simulated.settings import Settings, settings_for
from benchkit.telemetry.prometheus import parse

KNOWN = {
    "max_num_seqs": 256,
    "max_num_batched_tokens": 2_048,
    "kv_blocks": 0,
    "block_size": 16,
    "max_model_len": 0,
}
"""What a server does not say for sure, and what is taken for it."""
_CACHE = "vllm:cache_config_info"
_Measured = tuple[Mapping[str, Any], pd.DataFrame, pd.DataFrame]
"""A run's parameters, requests and steps."""


@dataclass(frozen=True, slots=True)
class Twin:
    """A calibrated preset and how good it is.

    Attributes:
        preset: what was written.
        fit: coefficients with intervals.
        held_out: load -> metric -> (measured, predicted by a twin that has not seen this load), ms.
    """

    preset: PresetFile
    fit: Fit
    held_out: Mapping[str, Mapping[str, tuple[float, float]]]

    def __str__(self) -> str:
        lines = [
            f"twin {self.preset.name}: {self.fit.steps} steps, median residual {100 * self.fit.residual:.1f} %"
        ]
        for name, value in self.fit.settings.items():
            low, high = self.fit.intervals.get(name, (math.nan, math.nan))
            sure = f"   95 % {low:.4g} to {high:.4g}" if math.isfinite(low) else ""
            lines.append(f"  {name:<28}{value:>12.4g}{sure}")
        lines += [f"  {name} is 0: {why}" for name, why in self.fit.unidentified.items()]
        lines.append("error of means on loads that the twin had not seen (TTFT, gap, latency):")
        for load, found in self.held_out.items():
            parts = [f"{100 * (said / measured - 1):+.1f} %" for measured, said in list(found.values())[:3]]
            lines.append(f"  {load:<36}{'  '.join(parts)}")
        return "\n".join(lines)


async def calibrate_async(
    values: Mapping[str, Any],
    preset_out: Path,
    *,
    server: Mapping[str, Any] | None = None,
    scale: float = 1.0,
    hooks: Hooks | None = None,
) -> Twin:
    """Runs the designed loads against a server, fits, and writes the preset.

    Args:
        values: run parameters that all loads share: ``url`` and how to reach it, ``endpoint``, ``out``, ...
        preset_out: the file to write.
        server: what is known of it: ``max_num_seqs``, ``max_num_batched_tokens``, ``kv_blocks``, ``block_size``.
        scale: of all prompt lengths, for a server whose prompts are much longer or that is much slower.
        hooks: who hears how it goes.

    Raises:
        ParameterError: no ``url``, or parameters that make no sense.
        CalibrationError: the runs do not suffice, with what is missing.
        BenchkitError: a run failed.
    """
    if not values.get("url"):
        raise InvalidParameter("'url' is empty: name the server to make a twin of")
    base = {"endpoint": "completions", "prompt_form": "token_ids", "name": "calibrate"} | dict(values)
    known = await asyncio.to_thread(_known, server or {}, resolve(base))
    hooks = hooks or Hooks()
    loads = designed_loads(scale, max_model_len=known["max_model_len"], max_num_seqs=known["max_num_seqs"])
    # Prompts that a server has seen before are in its prefix cache: a second calibration must send others.
    seed = int(values["seed"] if "seed" in values else time.time())
    folders = []
    for number, load in enumerate(loads, start=1):
        hooks.stage(f"load {number} of {len(loads)}: {_named(load)}")
        parameters: RunParameters = resolve({**base, **load, "seed": seed + number})
        folders.append(await measure(parameters, hooks))
    return await asyncio.to_thread(calibrate_from, folders, preset_out, server=known)


def calibrate(values: Mapping[str, Any], preset_out: Path, **options: Any) -> Twin:
    """``calibrate_async`` for a program without an event loop."""
    return asyncio.run(calibrate_async(values, preset_out, **options))


def calibrate_from(
    runs: Sequence[Path], preset_out: Path, *, server: Mapping[str, Any] | None = None
) -> Twin:
    """Fits to stored runs of one server, and writes the preset.

    Args:
        runs: their folders; among them synchronous ones with different prompts, and closed loops of several streams.
        preset_out: the file to write.
        server: as ``calibrate``.

    Raises:
        CalibrationError: the runs do not suffice, with what is missing.
        RecordError: a folder is no run.
        InvalidParameter: ``server`` has a name that is no setting, or the file cannot be written.
    """
    given = _checked(server or {})
    stored = [StoredRun(path) for path in runs]
    known = KNOWN | (_said_in(stored[0]) if stored else {}) | given
    budget = int(known["max_num_batched_tokens"])
    measured: list[_Measured] = []
    for run in stored:
        parameters = run.manifest["parameters"]
        if parameters["prefix_tokens"] and run.requests.cached_tokens.isna().all():
            raise CalibrationError(
                f"prompts of {run.path.name} share a prefix (prefix_tokens) and the server did not say how much of "
                "it was cached: leave this run out, or let the server tell (vLLM: --enable-prompt-tokens-details)"
            )
        steps = steps_of(run.requests, run.chunks, max_num_batched_tokens=budget)
        measured.append((parameters, run.requests, steps))
    if not any(streams_of(parameters) == 1 for parameters, _, _ in measured):
        raise CalibrationError(
            "no run is synchronous: what the front end takes cannot be told from the engine's steps"
        )
    if not any(streams_of(parameters) != 1 for parameters, _, _ in measured):
        raise CalibrationError("all runs are synchronous: add some with several streams")
    found = _fit(measured, budget)
    known["schedule_ahead"] = _schedules_ahead(measured, found, known)
    name = preset_out.stem
    held_out = {}
    for load in dict.fromkeys(_named(each[0]) for each in measured if streams_of(each[0]) != 1):
        rest = [each for each in measured if _named(each[0]) != load]
        try:
            other = settings_for("simple", _settings(_fit(rest, budget), known))
        except CalibrationError:
            continue
        held_out[load] = _errors([each for each in measured if _named(each[0]) == load], other)
    about = {
        "made": dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%MZ"),
        "server": stored[0].manifest.get("server", {}).get("version") or "unknown",
        "runs": [run.path.name for run in stored],
        "steps": found.steps,
        "median_relative_residual": round(found.residual, 4),
        "intervals_95": {key: [_short(low), _short(high)] for key, (low, high) in found.intervals.items()},
        "unidentified": dict(found.unidentified),
        "held_out_error_percent": {
            load: {metric: round(100 * (said / real - 1), 1) for metric, (real, said) in row.items()}
            for load, row in held_out.items()
        },
    }
    preset = PresetFile(name, _settings(found, known), about)
    settings_for("simple", preset.settings)
    write_preset(preset_out, preset)
    return Twin(preset, found, held_out)


def _schedules_ahead(measured: Sequence[_Measured], found: Fit, known: Mapping[str, Any]) -> bool:
    """Whether the server fixes a step's batch while the one before it still runs (vLLM's asynchronous scheduling).

    Then a request that arrives waits for one step more, which the lengths of steps do not show: both kinds of twin are
    asked for the TTFT of all loads with several streams, and the one that is nearer is taken.
    """
    several = [each for each in measured if streams_of(each[0]) != 1]

    def off(*, ahead: bool) -> float:
        twin = settings_for("simple", _settings(found, {**known, "schedule_ahead": ahead}))
        pairs = (_errors([each], twin)["ttft_ms"] for each in several)
        return sum(abs(math.log(said / real)) for real, said in pairs if said > 0 and real > 0)

    return off(ahead=True) < off(ahead=False)


def _errors(loads: Sequence[_Measured], twin: Settings) -> dict[str, tuple[float, float]]:
    """What a twin says of some runs, all together, beside what was measured."""
    said = [
        predict(requests, twin.build_engine(), parameters, block_size=twin.block_size)
        for parameters, requests, _ in loads
    ]
    return errors(pd.concat(said, ignore_index=True))


def _fit(measured: Sequence[_Measured], budget: int) -> Fit:
    alone = [
        requests[requests.outcome == "ok"]
        for parameters, requests, _ in measured
        if streams_of(parameters) == 1 and not parameters["prefix_tokens"]
    ]
    if not alone:
        raise CalibrationError("no run is synchronous")
    joined = pd.concat(alone, ignore_index=True)
    return fit(
        pd.concat([steps for _, _, steps in measured], ignore_index=True),
        pd.DataFrame(
            {
                "prompt_tokens": joined.prompt_tokens.astype(float),
                "ttft_us": (joined.first_token_ns - joined.sent_ns).astype(float) / 1e3,
            }
        ).dropna(),
        max_num_batched_tokens=budget,
    )


def _settings(found: Fit, known: Mapping[str, Any]) -> dict[str, Any]:
    settings: dict[str, Any] = {"engine": "vllm"}
    settings |= {name: _short(value) for name, value in found.settings.items()}
    settings["step_base_us"] = max(1.0, settings["step_base_us"])
    return settings | {name: value for name, value in known.items() if value}


def _checked(server: Mapping[str, Any]) -> dict[str, Any]:
    unknown = set(server) - set(KNOWN)
    if unknown:
        raise InvalidParameter(f"{', '.join(sorted(unknown))}: of a server can be given {', '.join(KNOWN)}")
    return dict(server)


def _known(server: Mapping[str, Any], parameters: RunParameters) -> dict[str, Any]:
    """What the user says of the server, else what it says itself, else vLLM's defaults."""
    said: dict[str, Any] = {}
    with ControlClient(
        parameters.url,
        api_key_env=parameters.api_key_env,
        headers=parameters.headers,
        verify_tls=parameters.verify_tls,
    ) as client:
        said["max_model_len"] = next(
            (card.max_model_len for card in client.models() if card.max_model_len), 0
        )
        try:
            readings = list(parse(client.metrics()))
        except TargetError:
            readings = []
    said |= _cache([each.labels for each in readings if each.name == _CACHE])
    return KNOWN | said | _checked(server)


def _said_in(run: StoredRun) -> dict[str, Any]:
    """The same as far as a stored run has it."""
    context = run.manifest.get("server", {}).get("max_model_len") or 0
    labels = run.telemetry.labels[run.telemetry.name == _CACHE]
    return {"max_model_len": int(context)} | _cache(list(labels[:1]))


def _cache(labels: Sequence[str]) -> dict[str, int]:
    """Size of the cache, from the labels of vLLM's metric about it."""
    told: dict[str, Any] = json.loads(labels[0]) if labels else {}
    names = {"block_size": "block_size", "kv_blocks": "num_gpu_blocks"}
    return {name: int(told[label]) for name, label in names.items() if str(told.get(label, "")).isdigit()}


def _named(parameters: Mapping[str, Any]) -> str:
    streams = streams_of({"max_in_flight": 0, **parameters})
    kind = {0: f"{parameters['load']} {parameters.get('rate', '')}".strip(), 1: "alone"}.get(
        streams, f"{streams} streams"
    )
    return f"{kind}, {parameters['input_tokens']} + {parameters['output_tokens']} tokens"


def _short(value: float) -> float:
    return float(f"{value:.5g}")
