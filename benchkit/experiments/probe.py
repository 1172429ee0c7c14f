"""Sends one short streamed request and says what can be seen from its answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

from benchkit.answers import StreamedAnswer
from benchkit.http import ControlClient
from benchkit.load.api import DONE, Event, MalformedEvent, read_event
from benchkit.load.sse import EventStream

__all__ = ["Ask", "Negotiated", "Probe", "negotiate", "read_probe", "send"]

STREAM_OPTIONS: dict[str, dict[str, bool]] = {
    "continuous": {"include_usage": True, "continuous_usage_stats": True},
    "final": {"include_usage": True},
    "none": {},
}
"""What is asked of ``usage`` in a stream, by the names of ``PlanSpec.stream_usage``."""


@dataclass(frozen=True, slots=True)
class Ask:
    """What a probe asks for."""

    endpoint: str
    model: str
    prompt: str | tuple[int, ...]
    """Text, or token ids (completions only)."""
    max_tokens: int
    stream_usage: str
    """``continuous``, ``final`` or ``none``."""
    ignore_eos: bool
    temperature: float
    extra_body: Mapping[str, Any]
    timeout_s: float

    def body(self) -> dict[str, Any]:
        """Give the request's body, in the form that the load will have."""
        prompt = self.prompt if isinstance(self.prompt, str) else list(self.prompt)
        body: dict[str, Any] = {
            "model": self.model,
            "max_tokens": self.max_tokens,
            "temperature": self.temperature,
        }
        if self.endpoint == "chat":
            body["messages"] = [{"role": "user", "content": prompt}]
        else:
            body["prompt"] = prompt
        if STREAM_OPTIONS[self.stream_usage]:
            body["stream_options"] = STREAM_OPTIONS[self.stream_usage]
        if self.ignore_eos:
            body["ignore_eos"] = True
        return body | dict(self.extra_body)


@dataclass(frozen=True, slots=True)
class Probe:
    """What one streamed answer showed; times in ms from the request's sending, taken in user space."""

    status: int
    content_type: str
    events: int
    """Events that bear tokens."""
    reads: int
    """Reads of the body."""
    ttft_ms: float | None
    last_token_ms: float | None
    latency_ms: float
    output_tokens: int | None
    """From ``usage``; None without it."""
    prompt_tokens: int | None
    usage: str
    """``continuous``, ``final`` or ``none``: what came."""
    has_token_ids: bool
    finish_reason: str | None
    done: bool
    """Whether ``[DONE]`` came."""
    error: str | None
    """What the server says went wrong, or what is wrong with its events."""
    headers: Mapping[str, str]

    @property
    def spread_ms(self) -> float:
        """Time from the first token to the last."""
        if self.ttft_ms is None or self.last_token_ms is None:
            return 0.0
        return self.last_token_ms - self.ttft_ms

    def as_dict(self) -> dict[str, Any]:
        """Give the measured facts as JSON values, without the headers."""
        return {name: value for name, value in asdict(replace(self, headers={})).items() if name != "headers"}


class _Stamped(NamedTuple):
    time_ns: int
    event: Event


def send(client: ControlClient, ask: Ask) -> Probe:
    """Give what the answer to one streamed request shows, whatever its status.

    Raises:
        Unreachable: Nothing answers, or not in time.
        UnexpectedAnswer: The connection broke in the middle of the answer.
    """
    return read_probe(client.stream(ask.body(), ask.endpoint, timeout_s=ask.timeout_s), client.secrets)


def read_probe(streamed: StreamedAnswer, secrets: tuple[str, ...] = ()) -> Probe:
    """Give what a streamed answer shows."""
    answer = streamed.answer
    events, error, done = (
        _events(streamed) if answer.status == 200 else ([], answer.error_text(secrets), False)
    )
    bearing = _token_bearing(events)
    usages = [entry for entry in events if entry.event.usage]
    last_usage = usages[-1].event.usage if usages else None
    reasons = [entry.event.finish_reason for entry in events if entry.event.finish_reason]
    return Probe(
        status=answer.status,
        content_type=answer.headers.get("content-type", ""),
        events=len(bearing),
        reads=len(streamed.reads),
        ttft_ms=(bearing[0].time_ns - streamed.sent_ns) / 1e6 if bearing else None,
        last_token_ms=(bearing[-1].time_ns - streamed.sent_ns) / 1e6 if bearing else None,
        latency_ms=(streamed.end_ns - streamed.sent_ns) / 1e6,
        output_tokens=_count(last_usage, "completion_tokens"),
        prompt_tokens=_count(last_usage, "prompt_tokens"),
        usage="none" if not usages else "continuous" if len(usages) > 1 or _counts_first(events) else "final",
        has_token_ids=any(entry.event.token_ids for entry in events),
        finish_reason=reasons[-1] if reasons else None,
        done=done,
        error=error or next((entry.event.error for entry in events if entry.event.error), None),
        headers=answer.headers,
    )


def _events(streamed: StreamedAnswer) -> tuple[list[_Stamped], str | None, bool]:
    stream, found, done = EventStream(), [], False
    pieces = [(read.time_ns, stream.feed(read.data)) for read in streamed.reads]
    pieces.append((streamed.end_ns, stream.finish()))
    for time_ns, datas in pieces:
        for data in datas:
            if data == DONE:
                done = True
                continue
            try:
                found.append(_Stamped(time_ns, read_event(data)))
            except MalformedEvent as error:
                return found, f"an event is {error}", done
    return found, None, done


def _token_bearing(events: list[_Stamped]) -> list[_Stamped]:
    """Give the events with tokens: a rise of ``usage`` or token ids, else text, reasoning or a tool call."""
    counted = sum(1 for entry in events if _count(entry.event.usage, "completion_tokens") is not None) > 1
    has_ids = any(entry.event.token_ids for entry in events)
    bearing, seen = [], 0
    for entry in events:
        event = entry.event
        total = _count(event.usage, "completion_tokens")
        rises = counted and total is not None and total > seen
        seen = max(seen, total or 0)
        shows = bool(event.text or event.reasoning or event.tool_call)
        if rises or event.token_ids or (shows and not (counted or has_ids)):
            bearing.append(entry)
    return bearing


def _counts_first(events: list[_Stamped]) -> bool:
    """Tell whether the only ``usage`` came with the only token: then it is on every token."""
    with_usage = [entry.event for entry in events if entry.event.usage]
    return len(with_usage) == 1 and with_usage[0].has_choice and len(_token_bearing(events)) == 1


def _count(usage: Any, name: str) -> int | None:
    value = usage.get(name) if isinstance(usage, Mapping) else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


class Negotiated(NamedTuple):
    """The first form of a request that the server takes, and what it refused before."""

    ask: Ask
    probe: Probe
    refusals: tuple[str, ...]
    """What the server said to the forms that it refused."""


def negotiate(client: ControlClient, ask: Ask) -> Negotiated:
    """Find which of ``stream_options`` and ``ignore_eos`` the server takes, beginning with what ``ask`` has.

    Servers that check their input answer 400 to fields that they do not know. When nothing helps, the answer
    to the full form is given.

    Raises:
        Unreachable, UnexpectedAnswer: As ``send``.
    """
    order = ("continuous", "final", "none")
    usages = order[order.index(ask.stream_usage) :]
    forms = [
        replace(ask, stream_usage=u, ignore_eos=e)
        for e in ((True, False) if ask.ignore_eos else (False,))
        for u in usages
    ]
    refusals: list[str] = []
    banned: set[str] = set()
    first: Negotiated | None = None
    for form in forms:
        if form.stream_usage in banned or (form.ignore_eos and "ignore_eos" in banned):
            continue
        probe = send(client, form)
        result = Negotiated(form, probe, tuple(refusals))
        if probe.status not in {400, 422}:
            return result
        first = first or result
        said = (probe.error or "").lower()
        refusals.append(probe.error or f"status {probe.status}")
        banned |= _named(said)
        if not banned and _is_about_something_else(said):
            break
    assert first is not None
    return first


def _named(said: str) -> set[str]:
    if "ignore_eos" in said:
        return {"ignore_eos"}
    if "continuous_usage" in said:
        return {"continuous"}
    if "stream_options" in said or "include_usage" in said:
        return {"continuous", "final"}
    return set()


def _is_about_something_else(said: str) -> bool:
    return any(word in said for word in ("context", "prompt", "model", "max_tokens", "template", "messages"))
