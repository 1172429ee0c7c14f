"""What the embedded server can be told, its presets, and the engine that follows from them."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchkit.errors import InvalidParameter, UnknownParameter
from benchkit.serving.simulated.engines import Engine, FixedEngine, SimpleEngine
from benchkit.simulator.step_time import LinearStepTime


@dataclass(frozen=True, slots=True)
class Settings:
    """Every setting with its default; a preset changes some, ``server_args`` any."""

    model: str = "simulated"
    """Name under which the model is served."""
    max_model_len: int = 131_072
    """Context length: prompt and answer together, tokens."""
    max_num_seqs: int = 4_096
    """Requests computed at the same time; more wait."""
    max_num_batched_tokens: int = 8_192
    """Tokens a step may compute (preset ``simple``)."""
    engine: str = "fixed"
    """``fixed`` or ``simple``."""
    ttft_ms: float = 50.0
    """Time to first token (preset ``fixed``)."""
    gap_ms: float = 20.0
    """Time between tokens (preset ``fixed``)."""
    cold_ms: float = 0.0
    """Extra time before the first token of the first request: a server that is not warm."""
    step_base_us: float = 8_000.0
    """Step time: constant part (preset ``simple``)."""
    step_prefill_us_per_token: float = 40.0
    """Step time: for each prompt token computed."""
    step_decode_us_per_request: float = 60.0
    """Step time: for each request that decodes."""
    step_kv_us_per_token: float = 0.02
    """Step time: for each cached token read."""
    mean_answer_tokens: int = 200
    """Mean length of an answer that may stop by itself."""
    seed: int = 0
    """Of the lengths of such answers."""
    keep_alive_s: float = 0.0
    """Connections that idle for so long are closed, as vLLM does after 5 s; 0 = never."""
    send_quantum_ms: float = 0.25
    """Tokens due within it may share one wake-up of the server."""
    log_sends: bool = False
    """Remember the send times of every request, not only of those that ask."""
    fault: str = ""
    """Faults of every request; see ``faults.py``."""

    def build_engine(self) -> Engine:
        """The engine that these settings describe."""
        cold_ns = round(self.cold_ms * 1e6)
        if self.engine == "fixed":
            return FixedEngine(
                ttft_ns=round(self.ttft_ms * 1e6),
                gap_ns=round(self.gap_ms * 1e6),
                max_num_seqs=self.max_num_seqs,
                cold_ns=cold_ns,
            )
        return SimpleEngine(
            step_time=LinearStepTime(
                base_us=self.step_base_us,
                prefill_us_per_token=self.step_prefill_us_per_token,
                decode_us_per_request=self.step_decode_us_per_request,
                kv_us_per_token=self.step_kv_us_per_token,
            ),
            max_num_seqs=self.max_num_seqs,
            max_num_batched_tokens=self.max_num_batched_tokens,
            cold_ns=cold_ns,
        )


PRESETS: Mapping[str, Mapping[str, Any]] = {
    "fixed": {"engine": "fixed"},
    "simple": {"engine": "simple", "max_num_seqs": 256},
}
"""Preset name -> the settings in which it differs from the defaults."""

_AT_LEAST_ONE = ("max_model_len", "max_num_seqs", "max_num_batched_tokens", "mean_answer_tokens")


def settings_for(preset: str, server_args: Mapping[str, Any]) -> Settings:
    """The settings of a preset with ``server_args`` laid over it.

    Names may be written with ``-`` or ``_``.

    Raises:
        InvalidParameter: Unknown preset, a value of another type or out of range.
        UnknownParameter: A name that the embedded server does not have.
    """
    if preset not in PRESETS:
        raise InvalidParameter(f"preset is {preset!r}: the embedded server has {', '.join(sorted(PRESETS))}")
    fields = {field.name: field for field in dataclasses.fields(Settings)}
    values: dict[str, Any] = dict(PRESETS[preset])
    for written, value in server_args.items():
        name = written.replace("-", "_")
        if name not in fields:
            near = difflib.get_close_matches(name, fields, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(sorted(fields))}"
            raise UnknownParameter(f"server_args: the embedded server has no {written!r}; {hint}")
        values[name] = _checked(name, value, fields[name].default)
    if values["engine"] not in ("fixed", "simple"):
        raise InvalidParameter(f"server_args: engine is {values['engine']!r}; give 'fixed' or 'simple'")
    return Settings(**values)


def _checked(name: str, value: Any, default: Any) -> Any:
    kind = type(default)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if type(value) is not kind:
        raise InvalidParameter(f"server_args: {name} is {value!r}; it must be of type {kind.__name__}")
    if kind in (int, float):
        least = 1 if name in _AT_LEAST_ONE else 0
        if name == "step_base_us" and value <= 0:
            raise InvalidParameter(f"server_args: {name} is {value}; it must be above 0")
        if value < least:
            raise InvalidParameter(f"server_args: {name} is {value}; it must be at least {least}")
    return value
