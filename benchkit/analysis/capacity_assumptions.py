"""What an answer about capacity takes for granted, and what it refuses to answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from benchkit.analysis.carried import Carried
from benchkit.analysis.points import LoadPoint
from benchkit.analysis.server_readings import PrefixHits

_WORK: Final = ("model", "input_tokens", "output_tokens", "input_tokens_spread", "output_tokens_spread")
_CLOSED: Final = ("concurrent", "synchronous", "throughput")


def assumptions_of(found: Carried, routing: str) -> tuple[str, ...]:
    """What must hold for one server's load to be multiplied, in sentences.

    Args:
        found: what one server carries.
        routing: the parameter.
    """
    split = (
        "Requests are split at random, evenly: each server sees the same share of the load, and arrivals as "
        f"bursty as those measured ({_arrivals(found.points)})."
    )
    return (
        "Replicas are independent and alike: none slows another down, by a shared network, disk or gateway.",
        split,
        _hits(found.hits, routing),
        "Requests stand alone: no conversation has to find its server again, and nobody cancels or tries again.",
        f"One class of work: {_work(found.points)}.",
    )


def refusals_of(found: Carried, routing: str) -> tuple[str, ...]:
    """Why no number of servers can be given, in sentences with the remedy; empty where one can.

    Args:
        found: what one server carries.
        routing: the parameter.
    """
    refusals = []
    if found.measured is None:
        refusals.append(_nothing_meets(found))
    works = {_work_key(point) for point in found.points}
    works.discard(None)
    if len(works) > 1:
        refusals.append(
            f"The sources measured {len(works)} kinds of work (model, prompt and answer lengths): what a server "
            "carries of one says nothing of the other. Name sources of one kind."
        )
    hits = found.hits
    if hits is not None and hits.of_one_server and routing == "unstated":
        refusals.append(
            f"{100 * hits.share:.3g} % of prompt tokens came from this server's prefix cache, and only "
            f"{100 * hits.common:.3g} % are a beginning that all prompts share. Split at random over n servers, "
            "about one in n of the other hits is left, and each server carries less than was measured. If routing "
            "brings requests back to the server that knows them, say so with 'routing' keeps_hits; else measure "
            "with distinct prompts."
        )
    return tuple(refusals)


def _nothing_meets(found: Carried) -> str:
    unknown = {judged.objective for level in found.levels for judged in level.judged if judged.unknown}
    if all(any(judged.unknown for judged in level.judged) for level in found.levels):
        return (
            f"The sources do not have what is bounded by {', '.join(sorted(unknown))}: "
            "name an objective of what they have, or measure it."
        )
    lowest = found.levels[0]
    missed = ", ".join(each.objective for each in lowest.judged if not each.holds)
    why = f"misses {missed}" if missed else "is no steady state"
    return (
        f"No measured load meets the objectives: the lowest, {lowest.requests_per_s:.4g} requests/s, {why}. "
        "No number of servers mends that, unless a still lower load does: measure one, or relax the objective."
    )


def _hits(hits: PrefixHits | None, routing: str) -> str:
    if hits is None:
        return "Each server's prefix cache is hit as often as this one's was; the sources do not say how often that is."
    share = f"{100 * hits.share:.3g} % of prompt tokens"
    if hits.of_one_server and routing == "keeps_hits":
        return f"Routing keeps the prefix-cache hits that were measured ({share}), as was said: not checked."
    if hits.share > 0:
        return (
            f"The prefix cache is hit as here ({share}), by a beginning that all prompts share: "
            "routing does not change that."
        )
    return "No prompt hits the prefix cache, as in the measurement: hits would let a server carry more."


def _arrivals(points: Sequence[LoadPoint]) -> str:
    loads = sorted({point.load for point in points if point.load and point.load not in _CLOSED})
    if loads:
        told = ", ".join(loads)
        return f"{told}; real arrivals are burstier" if loads == ["constant"] else told
    return "closed loops, which wait for answers: arrivals that do not will queue more"


def _work(points: Sequence[LoadPoint]) -> str:
    for point in points:
        asked = point.records.manifest.get("parameters") if point.records is not None else None
        if asked and asked.get("input_tokens") and asked.get("output_tokens"):
            return f"{asked['input_tokens']} tokens in, {asked['output_tokens']} out, as measured"
    served = [(point.rate_of("output_tokens_per_s"), point.requests_per_s) for point in points]
    lengths = [tokens / rate for tokens, rate in served if tokens is not None and rate]
    return f"answers of about {lengths[-1]:.0f} tokens, as measured" if lengths else "that of the measurement"


def _work_key(point: LoadPoint) -> tuple[str, ...] | None:
    asked = point.records.manifest.get("parameters") if point.records is not None else None
    if not asked or not asked.get("input_tokens"):
        return None
    return tuple(str(asked.get(name)) for name in _WORK)
