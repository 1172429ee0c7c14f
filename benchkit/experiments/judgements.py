"""Says what facts about a server mean for a run: pure functions from what was seen to findings."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import NamedTuple

from benchkit.answers import ModelCard
from benchkit.experiments.findings import Finding, Level, plain
from benchkit.experiments.probe import Probe

__all__ = [
    "ModelChoice",
    "choose_model",
    "judge_answer",
    "judge_context",
    "judge_ignore_eos",
    "judge_stream",
    "judge_token_ids",
    "judge_tokens_per_chunk",
    "judge_usage",
    "judge_warmth",
    "looks_buffered",
]

_SHOWN_MODELS = 5


class ModelChoice(NamedTuple):
    """The model that a run will ask for."""

    model: str
    card: ModelCard | None
    finding: Finding


def choose_model(cards: Sequence[ModelCard] | None, wanted: str) -> ModelChoice:
    """Give the model to ask for: the wanted one, or the first that is listed.

    Args:
        cards: What the server lists; None when it has no list.
        wanted: The parameter ``model``; empty for whatever there is.
    """
    if not cards:
        if wanted:
            text = f"{wanted} is taken as it is: the server lists no models"
            return ModelChoice(wanted, None, Finding(Level.NOTE, "model", text))
        text = "the server lists no models, so none can be chosen"
        return ModelChoice("", None, Finding(Level.FATAL, "model", text, "name the served model: model"))
    by_id = {card.id: card for card in cards}
    if not wanted:
        others = f", the first of {len(cards)}: {_listed(by_id)}" if len(cards) > 1 else ""
        level = Level.NOTE if len(cards) > 1 else Level.OK
        remedy = "name the one that you mean: model" if len(cards) > 1 else ""
        finding = Finding(level, "model", plain(f"{cards[0].id}{others}", 400), remedy)
        return ModelChoice(cards[0].id, cards[0], finding)
    if wanted in by_id:
        return ModelChoice(wanted, by_id[wanted], Finding(Level.OK, "model", plain(wanted)))
    near = get_close_matches(wanted, by_id, n=1, cutoff=0.4)
    text = plain(f"{wanted!r} is not served; the server has {_listed(by_id)}", 400)
    remedy = (
        f"did you mean {near[0]!r}?" if near else "choose one of them, or leave model empty for the first"
    )
    return ModelChoice(wanted, None, Finding(Level.FATAL, "model", text, plain(remedy)))


def _listed(names: Sequence[str] | dict[str, ModelCard]) -> str:
    shown = list(names)
    more = f" and {len(shown) - _SHOWN_MODELS} more" if len(shown) > _SHOWN_MODELS else ""
    return ", ".join(shown[:_SHOWN_MODELS]) + more


def judge_context(max_model_len: int | None, needed: int) -> Finding:
    """Hold the longest request of the plan against the context that the model has, both in tokens."""
    if max_model_len is None:
        return Finding(
            Level.NOTE,
            "context",
            f"the server does not state its context length; requests need {needed:,} tokens",
        )
    if needed > max_model_len:
        return Finding(
            Level.FATAL,
            "context",
            f"requests of up to {needed:,} tokens do not fit into a context of {max_model_len:,}",
            "lower input_tokens or output_tokens, or serve with a longer context (vLLM: --max-model-len)",
        )
    return Finding(Level.OK, "context", f"{max_model_len:,} tokens; requests need up to {needed:,}")


def judge_answer(probe: Probe, *, endpoint: str, token_ids: bool) -> Finding | None:
    """Give the reason why requests like the probe would measure nothing, if there is one."""
    said = f": {plain(probe.error)}" if probe.error else ""
    if probe.status != 200:
        return _refused(probe, said, endpoint=endpoint, token_ids=token_ids)
    if probe.events == 0:
        kind = probe.content_type.partition(";")[0] or "no content type"
        if "event-stream" in kind:
            return Finding(Level.FATAL, "stream", f"the answer held no token{said}", "see the server's log")
        return Finding(
            Level.FATAL,
            "stream",
            f"the answer is not a stream of events ({plain(kind)}){said}",
            "is this an OpenAI-compatible server, and does a proxy before it let streams through?",
        )
    if probe.error:
        return Finding(Level.FATAL, "stream", f"the stream carried an error{said}", "see the server's log")
    if probe.finish_reason is None:
        return Finding(
            Level.FATAL,
            "stream",
            "the stream ended without a finish reason: every request would count as cut off",
            "see the server's log, and what a proxy before it does with the end of a stream",
        )
    return None


def _refused(probe: Probe, said: str, *, endpoint: str, token_ids: bool) -> Finding:
    status, lower = probe.status, (probe.error or "").lower()
    if status in {401, 403}:
        remedy = "set api_key_env to the name of the environment variable that holds the right key"
        return Finding(Level.FATAL, "key", f"a request is refused with {status}{said}", remedy)
    if 300 <= status < 400:
        return Finding(
            Level.FATAL, "reachable", f"requests are redirected ({status})", "give url the final address"
        )
    if status == 404:
        remedy = f"does the server offer the endpoint {endpoint!r}, and is the model's name right?"
        return Finding(
            Level.FATAL, "request", f"the API's path or the model is not there (404){said}", remedy
        )
    if status in {429, 503}:
        remedy = "wait until it is free, or raise its limits; a key may have a quota"
        return Finding(
            Level.FATAL, "request", f"the server turns requests away before any load ({status}){said}", remedy
        )
    if status >= 500:
        return Finding(Level.FATAL, "request", f"the server fails ({status}){said}", "see the server's log")
    remedy = "see what it says, and check extra_body, temperature and the lengths"
    if token_ids:
        remedy = "does the server take token ids? else set prompt_form to 'text'"
    elif "template" in lower:
        remedy = "the model has no chat template: set endpoint to 'completions'"
    return Finding(Level.FATAL, "request", f"the server refuses the request ({status}){said}", remedy)


def looks_buffered(probe: Probe) -> bool:
    """Tell whether all tokens came together, long after the request: as if something held the stream back."""
    if probe.events < 3 or probe.ttft_ms is None:
        return False
    return probe.spread_ms < 0.05 * probe.latency_ms and probe.ttft_ms > 5


def judge_stream(first: Probe, longer: Probe | None = None) -> Finding:
    """Tell whether tokens arrive as they are made.

    Args:
        first: The probe.
        longer: A probe of more tokens, sent when the first one looked buffered. If its first token came later
            in proportion, the stream is held back until its end.
    """
    spread = (
        f"{first.events} events over {first.spread_ms:.1f} ms, the first after {first.ttft_ms or 0:.1f} ms"
    )
    if first.events < 3:
        text = f"only {first.events} events for {first.output_tokens or 'unknown'} tokens: too few to tell"
        return Finding(Level.NOTE, "stream", text)
    if not looks_buffered(first):
        return Finding(Level.OK, "stream", spread)
    later = longer is not None and (longer.ttft_ms or 0) > 1.3 * (first.ttft_ms or 0)
    if longer is not None and not (later and looks_buffered(longer)):
        return Finding(Level.OK, "stream", f"{spread}: fast, and not held back")
    return Finding(
        Level.WARNING,
        "stream",
        f"all events came together ({spread}): something holds the stream back, TTFT and gaps mean nothing",
        "look for a buffering proxy (nginx: proxy_buffering off), or ask the server's own port",
    )


def judge_usage(probe: Probe, refusals: Sequence[str]) -> Finding:
    """Tell how exactly tokens can be counted."""
    refused = f" (refused: {plain(refusals[0], 80)})" if refusals else ""
    if probe.usage == "continuous":
        return Finding(Level.OK, "usage", "on every event: tokens per event are exact")
    if probe.usage == "final":
        if probe.output_tokens == probe.events:
            return Finding(Level.OK, "usage", f"at the end, equal to the number of events{refused}")
        return Finding(
            Level.WARNING,
            "usage",
            f"only at the end, {probe.output_tokens} tokens in {probe.events} events{refused}: "
            "tokens per event are unknown, so pace per token is left out; gaps between events remain",
        )
    return Finding(
        Level.WARNING,
        "usage",
        f"none{refused}: each event is counted as one token, which cannot be checked",
        "servers send it for stream_options include_usage; does a proxy drop the last event?",
    )


def judge_tokens_per_chunk(probe: Probe) -> Finding | None:
    """Give the mean number of tokens an event, where it is known."""
    if not probe.output_tokens or not probe.events:
        return None
    mean = probe.output_tokens / probe.events
    if mean < 1.05:
        return Finding(Level.OK, "tokens_per_chunk", f"{mean:.2f}")
    text = f"{mean:.2f}: gaps between events are not gaps between tokens"
    return Finding(
        Level.NOTE,
        "tokens_per_chunk",
        text,
        "see itl_ms for pace per token, chunk_gap_ms for what a reader sees",
    )


class EosVerdict(NamedTuple):
    """Whether ``ignore_eos`` has its effect."""

    honoured: bool | None
    finding: Finding


def judge_ignore_eos(probe: Probe, *, asked: bool, sent: bool, max_tokens: int) -> EosVerdict:
    """Tell whether answers have their full length.

    Args:
        probe: Its prompt asks for one word.
        asked: Whether the run's parameters want it.
        sent: Whether the server took the field.
        max_tokens: What the probe asked for.
    """
    tokens = probe.output_tokens if probe.usage != "none" else probe.events
    if not asked:
        return EosVerdict(
            None, Finding(Level.OK, "ignore_eos", "not asked for: answers end where the model ends them")
        )
    remedy = "answers will differ in length; compare runs by tokens, or set ignore_eos to false to say so"
    if not sent:
        text = "the server refuses the field; the run goes without, and a short answer counts as ok"
        return EosVerdict(False, Finding(Level.WARNING, "ignore_eos", text, remedy))
    if tokens == max_tokens:
        return EosVerdict(True, Finding(Level.OK, "ignore_eos", f"{tokens} of {max_tokens} tokens"))
    if probe.usage == "none":
        text = f"{tokens} events for {max_tokens} tokens, and no usage: cannot be told"
        return EosVerdict(None, Finding(Level.NOTE, "ignore_eos", text))
    ended = f"ignored: {tokens} of {max_tokens} tokens ({probe.finish_reason})"
    text = f"{ended}; a short answer counts as ok in this run"
    return EosVerdict(False, Finding(Level.WARNING, "ignore_eos", text, remedy))


def judge_token_ids(probe: Probe, sent: int) -> Finding:
    """Tell whether a prompt of ``sent`` token ids is taken as that many tokens."""
    if probe.status != 200:
        text = f"refused ({probe.status}: {plain(probe.error or '', 80)})"
        return Finding(Level.NOTE, "token_ids", text, "use prompt_form 'text'")
    if probe.prompt_tokens is None:
        return Finding(Level.NOTE, "token_ids", "taken; without usage their number cannot be checked")
    if probe.prompt_tokens == sent:
        return Finding(Level.OK, "token_ids", f"{sent} ids are {sent} tokens")
    text = f"{sent} ids are counted as {probe.prompt_tokens} tokens: prompts are not what was asked for"
    return Finding(Level.WARNING, "token_ids", text, "use prompt_form 'text'")


def judge_warmth(first: Probe, second: Probe) -> Finding:
    """Tell from two probes, one after the other, whether the server was cold."""
    if first.ttft_ms is None or second.ttft_ms is None:
        return Finding(Level.NOTE, "warm", "cannot be told without two first tokens")
    text = f"first token after {first.ttft_ms:.0f} ms, then after {second.ttft_ms:.0f} ms"
    if first.ttft_ms > 2 * second.ttft_ms + 50:
        remedy = "it has been warmed now; give runs a warm-up (warmup_s)"
        return Finding(Level.NOTE, "warm", f"the server was cold: {text}", remedy)
    return Finding(Level.OK, "warm", text)
