"""What the embedded server can be told, its presets, and the engine that follows from them."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchkit.errors import InvalidParameter, UnknownParameter
from benchkit.serving.simulated.engines import FixedEngine
from benchkit.serving.simulated.preset_file import read_preset
from benchkit.simulator.config import EngineConfig, EngineSettings
from benchkit.simulator.engine import VllmEngine
from benchkit.simulator.presets import PRESETS as PUBLISHED
from benchkit.simulator.presets import SETTINGS as PUBLISHED_SETTINGS
from benchkit.simulator.step_time import LinearStepTime, StepTime


@dataclass(frozen=True, slots=True)
class Settings(EngineSettings):
    """Every setting with its default, the engine's and the server's own; presets change some, ``server_args`` any."""

    model: str = "simulated"
    """Name under which the model is served."""
    max_model_len: int = 131_072
    """Context length: prompt and answer together, tokens."""
    max_num_seqs: int = 4_096
    """Requests computed at the same time; more wait."""
    engine: str = "fixed"
    """``fixed`` (constant times) or ``vllm`` (batches)."""
    step_model: str = ""
    """Preset whose step-time model is used; "" = the linear one of the ``step_`` settings, which replaces a
    preset's as soon as one of them is given."""
    step_base_us: float = 8_000.0
    """Step time: constant part."""
    step_prefill_us_per_token: float = 40.0
    """Step time: for each prompt token computed."""
    step_decode_us_per_request: float = 60.0
    """Step time: for each request that decodes."""
    step_kv_us_per_token: float = 0.02
    """Step time: for each cached token read."""
    step_attention_us_per_pair: float = 0.0
    """Step time: for each pair of a computed prompt token and a token before it."""
    step_mixed_us_per_pair: float = 0.0
    """Step time: for each pair of a prompt token and a request that decodes beside it."""
    step_free_tokens: float = 0.0
    """Step time: tokens, decoding requests first, that are computed while memory is read and cost nothing more."""
    ttft_ms: float = 50.0
    """Time to first token (engine ``fixed``)."""
    gap_ms: float = 20.0
    """Time between tokens (engine ``fixed``)."""
    startup_s: float = 0.0
    """How long the server answers 503 before it is healthy: a model that is loaded slowly."""
    max_queue: int = 0
    """Requests that may wait; further ones are answered 429. 0 = no limit."""
    crash_after_s: float = 0.0
    """Seconds after it has become healthy at which the server's process dies, as with its engine; 0 = never."""
    mean_answer_tokens: int = 200
    """Mean length of an answer that may stop by itself."""
    enable_prompt_tokens_details: bool = False
    """Whether ``usage`` says how many prompt tokens were in the prefix cache."""
    keep_alive_s: float = 0.0
    """Connections that idle for so long are closed, as vLLM does after 5 s; 0 = never."""
    send_quantum_ms: float = 0.25
    """Tokens due within it may share one wake-up of the server."""
    log_sends: bool = False
    """Remember the send times of every request, not only of those that ask."""
    fault: str = ""
    """Faults of every request; see ``faults.py``."""

    def build_engine(self) -> FixedEngine | VllmEngine:
        """The engine that these settings describe."""
        if self.engine == "fixed":
            return FixedEngine(
                ttft_ns=round(self.ttft_ms * 1e6),
                gap_ns=round(self.gap_ms * 1e6),
                max_num_seqs=self.max_num_seqs,
                cold_ns=round(self.cold_ms * 1e6),
            )
        return VllmEngine(EngineConfig.of(self, self._step_time()))

    def _step_time(self) -> StepTime:
        if self.step_model:
            return PUBLISHED[self.step_model].step_time
        return LinearStepTime(
            base_us=self.step_base_us,
            prefill_us_per_token=self.step_prefill_us_per_token,
            decode_us_per_request=self.step_decode_us_per_request,
            kv_us_per_token=self.step_kv_us_per_token,
            attention_us_per_pair=self.step_attention_us_per_pair,
            mixed_us_per_pair=self.step_mixed_us_per_pair,
            free_tokens=self.step_free_tokens,
        )


PRESETS: Mapping[str, Mapping[str, Any]] = {
    "fixed": {"engine": "fixed"},
    "simple": {"engine": "vllm", "max_num_seqs": 256},
    **{
        name: {
            "engine": "vllm",
            "step_model": name,
            **{each: getattr(preset, each) for each in PUBLISHED_SETTINGS},
        }
        for name, preset in PUBLISHED.items()
    },
}
"""Preset name -> the settings in which it differs from the defaults."""

_AT_LEAST_ONE = (
    "max_model_len",
    "max_num_seqs",
    "max_num_batched_tokens",
    "mean_answer_tokens",
    "block_size",
    "stream_interval",
)
VLLM_NAMES: Mapping[str, str] = {
    "num_gpu_blocks_override": "kv_blocks",
    "enable_prefix_caching": "prefix_caching",
    "async_scheduling": "schedule_ahead",
    "served_model_name": "model",
}
"""vLLM's flags that have another name here."""
_LINEAR = {field.name for field in dataclasses.fields(Settings) if field.name.startswith("step_")} - {
    "step_model",
    "step_gap_us",
}
"""Settings of the linear step-time model."""


def settings_for(preset: str, server_args: Mapping[str, Any]) -> Settings:
    """The settings of a preset with ``server_args`` laid over it.

    Names may be written with ``-`` or ``_``, and as vLLM's flags (``no-enable-prefix-caching`` too). A context length
    that nobody asked for is cut to what the KV cache holds.

    Args:
        preset: a name of ``PRESETS``, or the path of a file that ``benchkit calibrate`` wrote.
        server_args: settings by name.

    Raises:
        InvalidParameter: Unknown preset, a value of another type or out of range, settings that contradict one another.
        UnknownParameter: A name that the embedded server does not have.
    """
    from_file = preset.endswith((".yaml", ".yml"))
    if from_file:
        source, given = f"preset {preset}", read_preset(Path(preset)).settings
    elif preset in PRESETS:
        source, given = f"preset {preset}", PRESETS[preset]
    else:
        raise InvalidParameter(
            f"preset is {preset!r}: the embedded server has {', '.join(sorted(PRESETS))}, or give the path of a "
            "preset file (.yaml)"
        )
    base, asked = _checked_values(source, given), _checked_values("server_args", server_args)
    source += ", server_args" if asked else ""
    try:
        settings = Settings(**(base | asked))
    except ValueError as error:
        raise InvalidParameter(f"{source}: {error}") from None
    if _LINEAR & asked.keys() and not asked.get("step_model"):
        settings = dataclasses.replace(settings, step_model="")
    room = settings.kv_blocks * settings.block_size - settings.draft_tokens
    if settings.engine == "vllm" and settings.kv_blocks and room < settings.max_model_len:
        wanted = "max_model_len" in asked or (
            from_file and "max_model_len" in base and not {"kv_blocks", "block_size"} & asked.keys()
        )
        if wanted or room < 2:
            raise InvalidParameter(
                f"{source}: max_model_len is {settings.max_model_len}, but the KV cache holds {room} tokens "
                f"(kv_blocks {settings.kv_blocks} of {settings.block_size}): lower max_model_len or raise kv_blocks"
            )
        settings = dataclasses.replace(settings, max_model_len=room)
    return settings


def _checked_values(source: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by their own names, each of the right type and in range.

    Raises:
        InvalidParameter: One is not, is given twice, or contradicts another.
        UnknownParameter: There is no such setting.
    """
    fields = {field.name: field for field in dataclasses.fields(Settings)}
    values: dict[str, Any] = {}
    for written, value in given.items():
        name, negated = _own_name(written)
        if name not in fields:
            near = difflib.get_close_matches(name, [*fields, *VLLM_NAMES], n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(sorted(fields))}"
            raise UnknownParameter(f"{source}: the embedded server has no {written!r}; {hint}")
        if name in values:
            raise InvalidParameter(f"{source}: {name} is given twice, once as {written!r}; give it once")
        values[name] = _checked(source, name, value, fields[name].default)
        if negated:
            values[name] = not values[name]
    if values.get("engine", "fixed") not in ("fixed", "vllm"):
        raise InvalidParameter(f"{source}: engine is {values['engine']!r}; give 'fixed' or 'vllm'")
    if values.get("step_model", "") not in ("", *PUBLISHED):
        raise InvalidParameter(
            f"{source}: step_model is {values['step_model']!r}; there are {', '.join(sorted(PUBLISHED))}"
        )
    if values.get("step_model") and (both := sorted(_LINEAR & values.keys())):
        raise InvalidParameter(
            f"{source}: step_model {values['step_model']!r} and {both[0]} are both given; give the one or the other"
        )
    return values


def _own_name(written: str) -> tuple[str, bool]:
    """The setting that is meant, and whether it is written with vLLM's ``no-``."""
    name = written.replace("-", "_")
    plain = name.removeprefix("no_")
    negated = plain != name and isinstance(getattr(Settings(), VLLM_NAMES.get(plain, plain), None), bool)
    name = plain if negated else name
    return VLLM_NAMES.get(name, name), negated


def _checked(source: str, name: str, value: Any, default: Any) -> Any:
    kind = type(default)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if type(value) is not kind:
        raise InvalidParameter(f"{source}: {name} is {value!r}; it must be of type {kind.__name__}")
    if kind in (int, float):
        least = 1 if name in _AT_LEAST_ONE else 0
        if name == "step_base_us" and value <= 0:
            raise InvalidParameter(f"{source}: {name} is {value}; it must be above 0")
        if not value >= least or value == float("inf"):
            raise InvalidParameter(f"{source}: {name} is {value}; it must be at least {least}, and finite")
    return value
