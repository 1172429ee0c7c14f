"""What a server said of itself while a load was on it: its cache, its queue, its preemptions, its prefix hits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import pandas as pd

from benchkit.analysis.points import LoadPoint
from benchkit.analysis.server_said import HITS, QUERIES, WAITING, rise, said_by_server, totals
from benchkit.analysis.window import Window

USAGE: Final = ("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc")
"""Share of the KV cache in use, by the names of newer and older servers."""
_PREEMPTIONS: Final = ("vllm:num_preemptions_total", "vllm:num_preemptions")
_FULL: Final = 0.98
"""A cache this full has no block left for a long prompt at its next step."""
_TOLERATED: Final = 0.01


@dataclass(frozen=True, slots=True)
class Readings:
    """Of the measured window."""

    cache_peak: float | None
    """Largest share of the KV cache in use; None where the server did not say."""
    waiting_share: float | None
    """Share of the readings in which requests waited."""
    preemptions: float | None
    """Requests that lost their place in the cache."""

    @property
    def out_of_memory(self) -> bool:
        """Whether the cache was full while requests waited for it, or took blocks from running ones."""
        full = (self.cache_peak or 0.0) >= _FULL and (self.waiting_share or 0.0) > 0
        return full or (self.preemptions or 0.0) > 0


def readings_of(point: LoadPoint) -> Readings | None:
    """What the server said during the window of a point; None where there are no records or it said nothing."""
    said = _of_server(point)
    if said is None:
        return None
    usage = said[said["name"].isin(USAGE)]["value"]
    waiting = totals(said, WAITING)
    return Readings(
        cache_peak=float(usage.max()) if len(usage) else None,
        waiting_share=float((waiting > 0).mean()) if len(waiting) else None,
        preemptions=rise(said, _PREEMPTIONS),
    )


@dataclass(frozen=True, slots=True)
class PrefixHits:
    """Prompt tokens that a server did not compute, since it had them in its prefix cache."""

    share: float
    """Of all prompt tokens."""
    common: float
    """Of all prompt tokens, those that every prompt begins with: any server holds them soon."""

    @property
    def surplus(self) -> float:
        """Of all prompt tokens, those that were in the cache though no other prompt should begin so."""
        return max(0.0, self.share - self.common)

    @property
    def of_one_server(self) -> bool:
        """Whether there were hits that another server need not have had: one percent of tokens is tolerated."""
        return self.surplus > _TOLERATED


def prefix_hits_of(point: LoadPoint) -> PrefixHits | None:
    """How much of its prompts a server took from its prefix cache: by the answers' ``usage``, else by its /metrics.

    Returns:
        None where neither says so.
    """
    if point.records is None:
        return None
    return prefix_hits(point.records.requests, _of_server(point), point.records.manifest)


def prefix_hits(
    requests: pd.DataFrame, said: pd.DataFrame | None, manifest: Mapping[str, Any]
) -> PrefixHits | None:
    """As ``prefix_hits_of``, of a request table.

    Args:
        requests: the request table.
        said: what the server said in the window; None where it said nothing.
        manifest: ``preflight`` and ``parameters`` of the run, as far as known: what all prompts begin with.
    """
    prompt = float(requests["prompt_tokens"].sum()) if "prompt_tokens" in requests else 0.0
    share: float | None = None
    if prompt and "cached_tokens" in requests and requests["cached_tokens"].notna().any():
        share = float(requests["cached_tokens"].sum()) / prompt
    else:
        queries = rise(said, QUERIES) if said is not None else None
        if said is not None and queries:
            share = (rise(said, HITS) or 0.0) / queries
    if share is None:
        return None
    return PrefixHits(share, _common_share(manifest, prompt / len(requests) if prompt else 0.0))


def _of_server(point: LoadPoint) -> pd.DataFrame | None:
    if point.records is None:
        return None
    window = (point.records.manifest.get("load") or {}).get("window")
    inside = Window(window["start_ns"], window["end_ns"] + 1) if window else None
    return said_by_server(point.records.telemetry, inside)


def _common_share(manifest: Mapping[str, Any], prompt_tokens: float) -> float:
    """The share of a prompt that all prompts begin with: the shared prefix, and what the chat template adds."""
    if not prompt_tokens:
        return 0.0
    lengths = (manifest.get("preflight") or {}).get("prompt_lengths") or {}
    overhead = float(lengths.get("overhead_tokens") or 0)
    prefix = float((manifest.get("parameters") or {}).get("prefix_tokens") or 0)
    return min(1.0, (overhead + prefix) / prompt_tokens)
