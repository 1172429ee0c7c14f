"""Reads what vLLM's benchmark and its descendants have in common: one flat object, statistics as ``p99_ttft_ms``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchkit.records.interop.documents import Node
from benchkit.records.interop.stated import Statistics, described, named

__all__ = ["Arrays", "arrays", "facts", "load_of", "metrics", "names"]

_KEY = re.compile(r"(?P<statistic>mean|median|std|max|min|p\d+(?:\.\d+)?)_(?P<name>\w+?)_ms")
_MOST_FACTS = 60
_LONGEST_FACT = 200
_TEXTS = ("generated_texts", "errors", "server_info")


class Arrays:
    """The arrays of a file with details, of one length; empty where the file has none."""

    def __init__(self, node: Node) -> None:
        self.ttft_s = node.get("ttfts").numbers()
        self.latency_s = node.get("latencies").numbers()
        self.start_s = node.get("start_times").numbers()
        self.queue_s = node.get("queue_times").numbers()
        self.gaps_s = [each.numbers() for each in node.get("itls").items()]
        self.input_tokens = node.get("input_lens").numbers()
        self.output_tokens = node.get("output_lens").numbers()
        self.errors = [each.text() for each in node.get("errors").items()]

    @property
    def size(self) -> int:
        """How many requests there are."""
        return len(self.errors)

    @cached_property
    def ok(self) -> NDArray[np.bool_]:
        """Which requests gave an answer, without an error."""
        without = np.array([not error for error in self.errors], dtype=np.bool_)
        return without & (self.output_tokens > 0)


def names(nodes: Sequence[Node], path: Path) -> list[str]:
    """Give what a file's loads are called: the file, and its line where it has several."""
    return [path.name] if len(nodes) == 1 else [f"{path.name}#{at}" for at in range(1, len(nodes) + 1)]


def arrays(node: Node) -> Arrays | None:
    """Give the arrays of a file with details, or None for one without.

    Raises:
        ForeignFileError: The arrays differ in length.
    """
    found = Arrays(node)
    if not found.size or not found.ttft_s.size or not found.output_tokens.size:
        return None
    lengths = {
        "ttfts": found.ttft_s.size,
        "itls": len(found.gaps_s),
        "input_lens": found.input_tokens.size,
        "output_lens": found.output_tokens.size,
        "latencies": found.latency_s.size,
        "start_times": found.start_s.size,
        "queue_times": found.queue_s.size,
    }
    for name, length in lengths.items():
        if length and length != found.size:
            raise node.error(
                f"{name} has {length} elements and errors has {found.size}",
                "the file is damaged; save the result again with details",
            )
    return found


def metrics(node: Node, names: Mapping[str, tuple[str, ...]], found: Arrays | None) -> dict[str, Statistics]:
    """Give the statistics of a file, completed from its arrays where it has them.

    Args:
        node: The file's object.
        names: The file's metrics and what they are called here, such as ``{"e2el": ("latency_ms",)}``.
        found: The arrays.
    """
    stated: dict[str, Statistics] = {}
    for key in node.mapping():
        match = _KEY.fullmatch(key)
        statistic = named(match["statistic"]) if match else None
        if match and statistic and match["name"] in names:
            stated.setdefault(match["name"], {})[statistic] = node.get(key).number()
    values = {} if found is None else _values_ms(found)
    return {
        ours: described(values.get(name, np.empty(0)), stated.get(name, {}))
        for name, all_ours in names.items()
        for ours in all_ours
        if name in stated or name in values
    }


def _values_ms(found: Arrays) -> dict[str, NDArray[np.float64]]:
    ok = found.ok
    gaps = [gaps for gaps, good in zip(found.gaps_s, ok, strict=False) if good]
    values = {"ttft": found.ttft_s[ok] * 1e3}
    if gaps:
        values["itl"] = np.concatenate(gaps) * 1e3
    if found.latency_s.size:
        latency = found.latency_s[ok] * 1e3
        values |= {"e2el": latency, "e2e_latency": latency}
    return values


def load_of(node: Node) -> dict[str, Any]:
    """Give load, rate, concurrency and further parameters by the request rate, burstiness and cap of a file."""
    rate = node.get("request_rate").value
    cap = node.get("max_concurrency").whole()
    if rate in ("inf", float("inf")) or (rate is None and cap):
        if cap:
            return {"load": "synchronous" if cap == 1 else "concurrent", "concurrency": cap}
        return {"load": "throughput"}
    number = None if isinstance(rate, str) else node.get("request_rate").number()
    if number is None or number <= 0 or node.get("ramp_up_strategy"):
        return {"load": ""}
    capped = {"parameters": {"max_in_flight": cap}} if cap else {}
    burstiness = node.get("burstiness").value
    if burstiness in ("inf", float("inf")):
        return {"load": "constant", "rate": number, **capped}
    shape = node.get("burstiness").number()
    if shape in (None, 1.0):
        return {"load": "poisson", "rate": number, **capped}
    return {
        "load": "gamma",
        "rate": number,
        "parameters": {**capped.get("parameters", {}), "burstiness": shape},
    }


def facts(node: Node, known: frozenset[str] = frozenset()) -> dict[str, Any]:
    """Give what the file says of its setting: short texts, numbers and flags that are no statistics.

    Args:
        node: The file's object.
        known: Keys that are told elsewhere.
    """
    kept: dict[str, Any] = {}
    for key, value in node.mapping().items():
        if key in known or key in _TEXTS or _KEY.fullmatch(key) or len(kept) >= _MOST_FACTS:
            continue
        if isinstance(value, str):
            kept[key[:_LONGEST_FACT]] = value[:_LONGEST_FACT]
        elif isinstance(value, bool) or (
            isinstance(value, int | float) and node.get(key).number() is not None
        ):
            kept[key[:_LONGEST_FACT]] = value
    return kept
