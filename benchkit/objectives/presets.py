"""Objectives of common uses by name, and where each comes from.

The guide states thresholds "for 99 % of requests": a p99. Its ITL is a request's average, (latency - TTFT) / (n - 1)
or nearly so, one value a request: that is ``tpot`` here, while ``itl`` here pools the paces of single tokens.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

GUIDELLM_GUIDE = (
    "https://github.com/vllm-project/guidellm/blob/main/docs/en/guides/service_level_objectives.md"
)


@dataclass(frozen=True, slots=True)
class Preset:
    """What a use of a service usually asks of it."""

    name: str
    use: str
    objectives: tuple[str, ...]
    """Texts of the grammar."""
    source: str
    """The page that states them, and its heading."""
    note: str = ""


def _guide(name: str, use: str, heading: str, *objectives: str, note: str = "") -> Preset:
    return Preset(
        name, use, objectives, f"GuideLLM, Service Level Objectives, {heading}: {GUIDELLM_GUIDE}", note
    )


_ALL = (
    _guide(
        "chat",
        "a chat that people read as it comes",
        "1. Chat Applications",
        "p99 ttft <= 200ms",
        "p99 tpot <= 50ms",
    ),
    _guide(
        "rag",
        "answers from retrieved documents, shown as they come",
        "2. Retrieval-Augmented Generation",
        "p99 latency <= 3s",
        "p99 ttft <= 300ms",
        "p99 tpot <= 100ms",
        note="TTFT and pace matter only where the answer is shown as it comes; else ask for the latency alone",
    ),
    _guide(
        "agents",
        "following instructions, calls of agents",
        "3. Instruction Following / Agentic AI",
        "p99 latency <= 5s",
    ),
    _guide(
        "content_generation",
        "texts for people within a company",
        "4. Content Generation",
        "p99 ttft <= 600ms",
        "p99 tpot <= 200ms",
    ),
    _guide(
        "code_generation",
        "code on request",
        "5. Code Generation",
        "p99 ttft <= 500ms",
        "p99 tpot <= 150ms",
    ),
    _guide(
        "code_completion",
        "completion of code while it is typed",
        "6. Code Completion",
        "p99 latency <= 2s",
    ),
    _guide(
        "summarization",
        "summaries in batches",
        "7. Summarization",
        "requests_per_s >= 100",
        note="of the whole service, not of one server",
    ),
    _guide(
        "analysis",
        "analysis of data in batches",
        "8. Analysis",
        "requests_per_s >= 150",
        note="of the whole service, not of one server",
    ),
)
PRESETS: Mapping[str, Preset] = MappingProxyType({preset.name: preset for preset in _ALL})
"""Presets by name."""

_ALSO = {
    "agent": "agents",
    "agentic": "agents",
    "completion": "code_completion",
    "summarisation": "summarization",
}


def preset_of(word: str) -> Preset | None:
    """The preset that a word names; capitals, and '-' or a space for '_', do not matter. None if it is none."""
    name = "_".join(word.lower().replace("-", " ").split())
    return PRESETS.get(_ALSO.get(name, name))


def expand(texts: Iterable[str]) -> tuple[str, ...]:
    """The texts with the names of presets replaced by their objectives; others as they are, each once."""
    presets = ((preset_of(text), text) for text in texts)
    found = (preset.objectives if preset else (text,) for preset, text in presets)
    return tuple(dict.fromkeys(text for group in found for text in group))
