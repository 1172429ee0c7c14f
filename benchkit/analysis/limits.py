"""What a run does not show: the questions that its numbers cannot answer, derived from its manifest."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from benchkit.analysis.binomial import needed_for
from benchkit.analysis.quantiles import PERCENTILES

_LOOPBACK = ("localhost", "127.", "::1")
_SHORT_S = 60.0
_TOLD = ("mean", "p50", "p95", "p99")
_USERS_METRICS = {"ttft_ms": "TTFT", "itl_ms": "gaps", "latency_ms": "latency"}


@dataclass(frozen=True, slots=True)
class _Run:
    """A run's manifest and summary, read leniently: what is missing limits nothing."""

    manifest: Mapping[str, Any]
    summary: Mapping[str, Any]

    @property
    def parameters(self) -> Mapping[str, Any]:
        return self.manifest.get("parameters") or {}

    @property
    def url(self) -> str:
        return str(self.parameters.get("url") or "")

    @property
    def closed(self) -> bool:
        return self.parameters.get("load") in ("concurrent", "synchronous", "throughput")

    @property
    def whole(self) -> Mapping[str, Any]:
        return (self.summary.get("windows") or {}).get("whole") or {}

    @property
    def intervals(self) -> Mapping[str, Any]:
        return self.whole.get("intervals") or {}

    @property
    def server(self) -> Mapping[str, Any]:
        preflight = self.manifest.get("preflight") or {}
        return {**(preflight.get("server") or {}), **(self.manifest.get("server") or {})}

    def has(self, name: str, value: Any) -> bool:
        return name in self.parameters and self.parameters[name] == value


def limits(manifest: Mapping[str, Any], summary: Mapping[str, Any]) -> list[str]:
    """Sentences that say what the run leaves open, the weightiest first.

    Args:
        manifest: the run's manifest; only what it says is judged.
        summary: the run's summary.
    """
    run = _Run(manifest, summary)
    return [sentence for rule in _RULES for sentence in rule(run)]


def unresolved(count: int | None) -> tuple[str, ...]:
    """The percentiles of a summary that a sample of this size does not resolve, even if independent.

    None where the size is not known: then neither is what it resolves.
    """
    return (
        ()
        if count is None
        else tuple(name for name, percent in PERCENTILES if count < needed_for(percent / 100.0))
    )


def _import(run: _Run) -> Iterator[str]:
    imported = run.manifest.get("imported")
    if imported:
        yield f"Measured by another client ({imported['tool']}): nothing is known of its own delays."
        yield from imported.get("notes") or ()


def _engine(run: _Run) -> Iterator[str]:
    said = f"{run.server.get('engine', '')} {run.server.get('version', '')}".lower()
    if ("url" in run.parameters and not run.url) or "benchkit" in said or "simulat" in said:
        yield "No model was served: the server paces or simulates an engine."


def _place(run: _Run) -> Iterator[str]:
    host = urlsplit(run.url).hostname or ""
    if host.startswith(_LOOPBACK) or ("url" in run.parameters and not run.url):
        yield "Client and server shared one machine: no network between, and each may slow the other."
    if "url" in run.parameters:
        if not run.url.startswith("https://"):
            yield "No TLS: what encryption costs is not in these times."
        yield "One address: nothing about several replicas, or about the balancer in front of them."


def _load(run: _Run) -> Iterator[str]:
    if run.closed:
        yield (
            "Closed loop: when the server slows, the load gives way. Arrivals at a given rate need an "
            "open loop (`load: poisson`)."
        )
    if run.has("connections", "reuse"):
        yield "Kept connections: setting one up is part of few requests, if of any."


def _work(run: _Run) -> Iterator[str]:
    if run.has("dataset", "synthetic"):
        yield (
            "Synthetic prompts: random words. Speculative decoding, prefix caches and answer lengths behave "
            "otherwise on real text."
        )
    if run.has("prompt_form", "token_ids"):
        yield "Token ids instead of text: no tokenizer and no chat template took part."
    elif run.has("endpoint", "completions"):
        yield "Plain completions: no chat template took part."
    if run.has("input_tokens_spread", 0) and run.has("output_tokens_spread", 0):
        yield "Fixed lengths: real prompts and answers vary, and the long ones hold up the short ones."
    if run.has("prefix_tokens", 0):
        yield "No shared prefix: nothing about prefix caching."
    if "dataset" in run.parameters:
        yield "Single requests: no conversations that come back with their history."


def _answers(run: _Run) -> Iterator[str]:
    honoured = (run.manifest.get("preflight") or {}).get("ignore_eos_honoured")
    if run.has("ignore_eos", True):
        if honoured is False:
            yield "The server ignores `ignore_eos`: answers end where the model ends them."
        else:
            yield "`ignore_eos`: answers are as long as asked for, not as long as the model would make them."
    if run.has("temperature", 0):
        yield "Greedy answers (temperature 0): sampling costs and scatter are not shown."
    source = ((run.manifest.get("plan_spec") or {}).get("vocabulary") or {}).get("source")
    if source == "uncounted":
        yield "Prompt lengths were not counted by a tokenizer: a word was taken for a token."


def _extent(run: _Run) -> Iterator[str]:
    length = run.whole.get("length_s")
    if length is not None and length < _SHORT_S:
        yield f"A window of {length:.3g} s: nothing about drift, or about what happens once a minute."
    if run.intervals:
        yield from _resolution(run)
    else:
        yield from _by_count(run)
    if run.has("repeats", 1):
        yield "One run: the spread from run to run can be several times that inside one."
    if run.whole and not run.intervals and not run.manifest.get("imported"):
        yield "No intervals: the digits say nothing about how sure a number is."


def _resolution(run: _Run) -> Iterator[str]:
    """What the intervals of a run say that it does not resolve."""
    metrics = run.whole.get("metrics") or {}
    refused = {
        name: [stat for stat in (metrics.get(name) or {}).get("notes") or {} if stat in _TOLD]
        for name in _USERS_METRICS
    }
    told = [
        f"{', '.join(stats)} of {_USERS_METRICS[name]}".replace("_", ".")
        for name, stats in refused.items()
        if stats
    ]
    if told:
        yield f"Not resolved by this run: {'; '.join(told)}. Read those as the sample's, not the server's."
    if run.intervals.get("repeats_needed"):
        yield f"Repeats needed: {run.intervals['repeats_needed']}."


def _by_count(run: _Run) -> Iterator[str]:
    count = ((run.whole.get("metrics") or {}).get("latency_ms") or {}).get("count")
    names = unresolved(count) if count else ()
    if names:
        shown = ", ".join(name.replace("_", ".") for name in names)
        yield (
            f"{count} requests do not resolve {shown}, even if they were independent (p99 needs "
            f"{needed_for(0.99)}): read those as the sample's, not the server's."
        )


def _client(run: _Run) -> Iterator[str]:
    load = run.manifest.get("load") or {}
    workers = [worker for worker in load.get("workers") or () if worker]
    if workers and all(worker.get("kernel_times") for worker in workers):
        yield (
            "Times end at this machine's network card: what a proxy or the server's front end adds "
            "is not told apart from the engine."
        )
    for fallback in load.get("fallbacks") or ():
        yield f"Measured with a fallback: {fallback}."


_RULES: tuple[Callable[[_Run], Iterator[str]], ...] = (
    _import,
    _engine,
    _load,
    _extent,
    _work,
    _answers,
    _place,
    _client,
)
