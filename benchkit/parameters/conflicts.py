"""Values that are fine alone and impossible together: a rule says the parameter, the reason and the remedy.

A parameter counts as asked for when it differs from its default: a notebook's parameters cell assigns all of
them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchkit.errors import ParameterConflict

if TYPE_CHECKING:
    from benchkit.parameters.model import ParameterGroup, RunParameters, ServingParameters

OPEN_LOOPS = ("constant", "poisson", "gamma")
MOST_ARRIVALS = 50_000_000
"""Intended times that a plan may hold: 400 MB in each process that draws it."""

_OWN_PARAMETER = {
    "model": "'model'",
    "max_tokens": "'output_tokens'",
    "temperature": "'temperature'",
    "ignore_eos": "'ignore_eos'",
    "prompt": "'dataset' and 'input_tokens'",
    "messages": "'dataset' and 'input_tokens'",
    "stream": "benchkit itself: answers are always streamed",
    "n": "benchkit itself: a request has one answer",
}


def check_run(p: RunParameters) -> None:
    """Refuse a run that makes no sense.

    Raises:
        ParameterConflict: the first contradiction found.
    """
    _check_load(p)
    _check_extent(p)
    check_work(p)


def check_serving(p: ServingParameters) -> None:
    """Refuse a server that makes no sense.

    Raises:
        ParameterConflict: the first contradiction found.
    """
    if p.backend == "vllm" and not p.served_model:
        raise ParameterConflict(
            "'backend' vllm needs a model: set 'served_model' to a name or a path, "
            "or to 'tiny-random' to make one"
        )
    if p.backend == "vllm" and asked(p, "preset"):
        raise ParameterConflict(
            f"'preset' {p.preset!r} describes the simulated engine, not vllm: "
            "leave it out, or set 'backend' to 'simulated'"
        )
    if p.backend == "simulated" and p.served_model == "tiny-random":
        raise ParameterConflict(
            "'served_model' tiny-random is a model for vllm: set 'backend' to 'vllm', or leave it out"
        )


def _check_load(p: RunParameters) -> None:
    opened = p.load in OPEN_LOOPS
    if not opened and asked(p, "rate"):
        raise ParameterConflict(
            f"'rate' {p.rate:g} has no meaning with load {p.load!r}, a closed loop whose speed "
            "the server sets: choose 'constant', 'poisson' or 'gamma', or leave 'rate' out"
        )
    if p.load != "gamma" and asked(p, "burstiness"):
        raise ParameterConflict(
            f"'burstiness' {p.burstiness:g} is the shape of gamma arrivals and has no meaning "
            f"with load {p.load!r}: set 'load' to 'gamma', or leave 'burstiness' out"
        )
    if p.load != "concurrent" and asked(p, "concurrency"):
        remedy = {"synchronous": "which has one stream", "throughput": "which is capped by 'max_in_flight'"}
        reason = remedy.get(p.load, "whose arrivals do not wait for answers")
        raise ParameterConflict(
            f"'concurrency' {p.concurrency} has no meaning with load {p.load!r}, {reason}: "
            "set 'load' to 'concurrent', or leave 'concurrency' out"
        )
    if p.load in ("concurrent", "synchronous") and asked(p, "max_in_flight"):
        raise ParameterConflict(
            f"'max_in_flight' {p.max_in_flight} has no meaning with load {p.load!r}, whose streams are "
            "the cap: use 'concurrency', or leave 'max_in_flight' out"
        )


def _check_extent(p: RunParameters) -> None:
    if p.duration_s == 0 and p.requests == 0:
        raise ParameterConflict(
            "'duration_s' and 'requests' are both 0, so nothing ends the run: set one of them"
        )
    if p.load not in OPEN_LOOPS:
        return
    in_window = min(p.rate * p.duration_s or float("inf"), p.requests or float("inf"))
    if p.rate * p.warmup_s + in_window > MOST_ARRIVALS:
        raise ParameterConflict(
            f"'rate' {p.rate:g} over this long makes more than {MOST_ARRIVALS:,} arrivals: "
            "lower 'rate', 'duration_s', 'warmup_s' or 'requests'"
        )


def check_work(p: RunParameters) -> None:
    """Refuse prompts that make no sense.

    Raises:
        ParameterConflict: the first contradiction found.
    """
    if p.prompt_form == "token_ids" and p.endpoint == "chat":
        raise ParameterConflict(
            "'prompt_form' token_ids cannot go to the chat endpoint, which takes text: "
            "set 'endpoint' to 'completions', or 'prompt_form' to 'text'"
        )
    shortest = p.input_tokens - min(int(p.input_tokens_spread * p.input_tokens + 1e-9), p.input_tokens - 1)
    if p.prefix_tokens > shortest:
        raise ParameterConflict(
            f"'prefix_tokens' {p.prefix_tokens} is longer than the shortest prompt, {shortest} tokens "
            "('input_tokens' less its spread): lower it, or raise 'input_tokens'"
        )
    for field, instead in _OWN_PARAMETER.items():
        if field in p.extra_body:
            raise ParameterConflict(
                f"'extra_body' may not hold {field!r}, which is set by {instead}; leave it out"
            )


def asked(p: ParameterGroup, name: str) -> bool:
    """Whether a parameter differs from its default."""
    return bool(getattr(p, name) != type(p).model_fields[name].get_default(call_default_factory=True))
