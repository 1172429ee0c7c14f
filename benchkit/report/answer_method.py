"""How a run was measured, in a few sentences drawn from its manifest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from benchkit.analysis.finding_words import many, number, plainly, seconds, sentence
from benchkit.report.frames import RunLike, stored
from benchkit.report.section import Section

_MORE = (
    "Definitions of all metrics are in `docs/metrics.md`, how intervals are made in `docs/methodology.md`, and every "
    "check of the verdict with its limits in `docs/verdict.md`."
)


def method(run: RunLike) -> Section:
    """How was it measured? What was sent when, by what, and what counts."""
    records = stored(run)
    told = [sentence(each) for each in _sentences(records.manifest, records.summary)]
    html = "".join(f"<li>{escape(each)}</li>" for each in told)
    more = escape(_MORE)
    for name in ("metrics", "methodology", "verdict"):
        more = more.replace(f"`docs/{name}.md`", f"<code>docs/{name}.md</code>")
    return Section(f"<ul>{html}</ul><p>{more}</p>", "\n".join([*(f"- {each}" for each in told), "", _MORE]))


def _sentences(manifest: Mapping[str, Any], summary: Mapping[str, Any]) -> Iterator[str]:
    asked = manifest.get("parameters") or {}
    if manifest.get("imported"):
        yield f"measured by another client ({plainly(str(manifest['imported'].get('tool')))}) and read from its file"
    yield from _sent(asked, manifest.get("plan") or {})
    yield from _window(asked, summary)
    yield from _client(manifest.get("load") or {})
    yield from _sure(summary)


def _sent(asked: Mapping[str, Any], plan: Mapping[str, Any]) -> Iterator[str]:
    rate = f"{number(float(asked.get('rate') or 0))} requests/s"
    shape = number(float(asked.get("burstiness") or 0))
    how = {
        "concurrent": f"{asked.get('concurrency')} streams, each of which sends again when its last request has ended",
        "synchronous": "one request after the other",
        "throughput": "as many requests at once as the server takes",
        "constant": f"{rate} at equal distances, whatever the server does",
        "poisson": f"{rate} at random times (Poisson), whatever the server does",
        "gamma": f"{rate} in bursts (gamma, shape {shape}), whatever the server does",
    }.get(str(asked.get("load") or ""))
    if how:
        yield f"the load: {how}"
    if asked.get("input_tokens"):
        spread = asked.get("input_tokens_spread") or asked.get("output_tokens_spread")
        drawn = " on average, lengths drawn" if spread else ""
        yield f"prompts of {asked['input_tokens']} tokens and answers of {asked.get('output_tokens')}{drawn}"
    if plan.get("sha256"):
        yield f"the same bodies at the same times come from the plan {str(plan['sha256'])[:12]} on any machine"


def _window(asked: Mapping[str, Any], summary: Mapping[str, Any]) -> Iterator[str]:
    whole = summary["windows"]["whole"]
    if whole.get("length_s") is None:
        return
    warmup = (
        f", after {seconds(float(asked['warmup_s']))} of the same load to warm up"
        if asked.get("warmup_s")
        else ""
    )
    yield f"what counts is a window of {seconds(float(whole['length_s']))}{warmup}"
    yield "requests count where they were due, tokens where they were stamped"


def _client(load: Mapping[str, Any]) -> Iterator[str]:
    workers = [each for each in load.get("workers") or () if each]
    if not workers:
        return
    kernel = all(each.get("kernel_times") for each in workers)
    stamps = "the kernel's receive times" if kernel else "the times at which the client read"
    senders = many(len({each.get("worker") for each in workers}), "process", "processes")
    first = ", before ordinary processes at the processor" if all(e.get("realtime") for e in workers) else ""
    yield f"sent by {senders} apart from what shows it{first}; every token has {stamps}"


def _sure(summary: Mapping[str, Any]) -> Iterator[str]:
    told = summary["windows"]["whole"].get("intervals")
    if not told:
        return
    by = (
        "the run itself, allowing for the memory of its queue"
        if told["by"] == "run"
        else f"{told['runs']} {told['by']}"
    )
    yield f"intervals hold the truth in 95 of 100 runs; they come from {by}"
