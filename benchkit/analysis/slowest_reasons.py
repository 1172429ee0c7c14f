"""Why a request was slow, in words; each reason rests on something that was recorded of this request."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from benchkit.analysis.finding_words import many, milliseconds, number, share
from benchkit.analysis.slowest import Slowest, SlowRequest
from benchkit.analysis.slowest_usual import Usual

NO_CAUSE: Final = "no cause seen"
HARDLY: Final = "hardly slower than usual"
_MUCH: Final = 1.5
"""Times the usual, from which something is much."""
_LONG: Final = 2.0
_MORE: Final = 1.2
_AT_MOST: Final = 2.0
_MOST: Final = 0.5
"""Of the time lost, which a cause must be able to explain."""
_COMPANY: Final = 2
"""Others that must be under way before their silence means anything."""


class Reason(NamedTuple):
    """Why, as a word to count by and as a sentence's part."""

    kind: str
    words: str


def reasons(request: SlowRequest, usual: Usual) -> tuple[Reason, ...]:
    """What is seen to have slowed a request where it lost most, the surest first; none where no cause is seen."""
    if not request.stands_out:
        return (Reason(HARDLY, f"{HARDLY}: {share(request.lost_ms / request.latency_ms)} of its time"),)
    return tuple(_OF_PART[request.part](request, usual))


def in_words(request: SlowRequest, usual: Usual) -> str:
    """The reasons as one phrase, or that no cause is seen."""
    told = [each.words for each in reasons(request, usual)]
    return "; ".join(told[:2]) if told else NO_CAUSE


def tally(found: Slowest) -> tuple[tuple[str, int], ...]:
    """How many of the slowest have which kind of reason first, the most frequent first."""
    if found.usual is None:
        return ()
    kinds: Counter[str] = Counter()
    for request in found.requests:
        kinds[next((each.kind for each in reasons(request, found.usual)), NO_CAUSE)] += 1
    return tuple(kinds.most_common())


def _client(request: SlowRequest, usual: Usual) -> Iterable[Reason]:
    del usual
    yield Reason("sent late by the client", f"the client sent it {milliseconds(request.late_ms)} late")


def _connecting(request: SlowRequest, usual: Usual) -> Iterable[Reason]:
    del usual
    yield Reason("connecting", f"opening its connection took {milliseconds(request.connecting_ms)}")


def _held_back(request: SlowRequest, usual: Usual) -> Iterable[Reason]:
    del usual
    yield Reason(
        "held back under max_in_flight",
        f"it waited {milliseconds(request.waited_ms)} under max_in_flight before it was sent",
    )


def _first_token(request: SlowRequest, usual: Usual) -> Iterable[Reason]:
    wait = request.ttft_ms if request.ttft_ms is not None else request.latency_ms
    if request.queued_most:
        yield Reason(
            "the server's queue",
            f"meanwhile up to {many(request.queued_most, 'request')} waited in the server's queue",
        )
    silence = request.silence
    stood_still = request.under_way >= _COMPANY and not _computed(
        silence.length_ms, silence.prompt_tokens, usual
    )
    if stood_still and silence.length_ms >= _MOST * request.part_ms:
        yield Reason(
            "a standstill",
            f"for {milliseconds(silence.length_ms)} of its wait no stream had a token: server or network stood still",
        )
    if (
        request.ahead_tokens > _MUCH * usual.ahead_tokens
        and request.ahead_tokens >= request.prompt_tokens / 2
    ):
        yield Reason(
            "prompts ahead of it",
            f"other prompts with {many(request.ahead_tokens, 'token')} were ahead of it (usual: "
            f"{number(usual.ahead_tokens)})",
        )
    if request.wait_tokens > _LONG * usual.wait_tokens and request.wait_tokens >= request.prompt_tokens / 2:
        yield Reason(
            "other prompts",
            f"{many(request.wait_prompts, 'other prompt')} of {many(request.wait_tokens, 'token')} got their first "
            f"token before it (usual: {number(usual.wait_tokens)} tokens)",
        )
    if request.prompt_tokens > _MUCH * usual.prompt_tokens:
        yield Reason(
            "a long prompt",
            f"its own prompt is long: {many(request.prompt_tokens, 'token')} (usual: {number(usual.prompt_tokens)})",
        )
    if (
        usual.cached_tokens
        and request.cached_tokens is not None
        and request.cached_tokens < usual.cached_tokens / 2
    ):
        yield Reason(
            "a missed prefix cache",
            f"only {many(request.cached_tokens, 'token')} of it were in the prefix cache (usual: "
            f"{number(usual.cached_tokens)})",
        )
    if request.attempts > 1:
        yield Reason("a second attempt", "its kept connection was dead, and it was sent again on a new one")
    yield from _in_company(request, usual)
    if request.opened_connection and wait > _LONG * usual.ttft_ms:
        yield Reason("a new connection", "it came on a new connection, which the server first had to accept")


def _pauses(request: SlowRequest, usual: Usual) -> Iterable[Reason]:
    pause = request.pause
    if pause is None:
        return
    length = milliseconds(pause.length_ms)
    if pause.is_clients:
        yield Reason(
            "a pause of the client",
            f"the client picked up the token after its pause of {length} only {milliseconds(pause.lag_ms)} after it "
            "had come",
        )
    computed = _computed(pause.length_ms, pause.prompt_tokens, usual)
    if pause.prompts and computed:
        yield Reason(
            "other prompts in its pause",
            f"in its pause of {length} the server read {many(pause.prompts, 'other prompt')} of "
            f"{many(pause.prompt_tokens, 'token')}",
        )
    if pause.is_everybodys and not computed:
        yield Reason(
            "a standstill",
            f"all {pause.beside} other streams paused with it for {length}: server or network stood still",
        )
    if pause.is_censored:
        yield Reason(
            "tokens read together",
            f"the tokens after its pause of {length} were read together: it may have been shorter",
        )
    if pause.is_alone and pause.length_ms > _LONG * usual.pause_ms:
        yield Reason(
            "a pause of its own",
            f"it paused alone for {length} while {pause.beside - pause.silent} of {pause.beside} other streams went on "
            "(a lost packet, or its place in the cache)",
        )


def _pace(request: SlowRequest, usual: Usual) -> Iterable[Reason]:
    expected = usual.answer_tokens * max(request.output_tokens - 1, 0.0)
    if request.answer_tokens > _MORE * expected and request.answer_tokens >= request.prompt_tokens / 2:
        yield Reason(
            "other prompts during its answer",
            f"during its answer the server read {many(request.answer_prompts, 'other prompt')} of "
            f"{many(request.answer_tokens, 'token')} (usual for its length: {number(expected)} tokens)",
        )
    yield from _in_company(request, usual)
    if request.pause is not None and request.pause.is_clients:
        yield from _pauses(request, usual)


def _in_company(request: SlowRequest, usual: Usual) -> Iterable[Reason]:
    if request.under_way > _MUCH * usual.under_way + _COMPANY:
        yield Reason(
            "many at once",
            f"{request.under_way} others were under way when it was sent (usual: {number(usual.under_way)})",
        )


def _computed(length_ms: float, prompt_tokens: float, usual: Usual) -> bool:
    """Whether a silence is no longer than computing these prompts may take, by the usual wait for a first token."""
    for_prompts = prompt_tokens * usual.ttft_ms / max(usual.prompt_tokens, 1.0)
    return length_ms <= _AT_MOST * (for_prompts + usual.pause_ms)


_OF_PART: Final[dict[str, Callable[[SlowRequest, Usual], Iterable[Reason]]]] = {
    "client": _client,
    "connecting": _connecting,
    "held back": _held_back,
    "first token": _first_token,
    "pauses": _pauses,
    "pace": _pace,
}
