"""How a request ended: the outcome of an answer, its error kind, and what its tokens were counted by."""

from __future__ import annotations

from benchkit.load.answer import Answer
from benchkit.load.api import error_of_body
from benchkit.records.kinds import ErrorKind, Outcome, TokenSource

_SHED = {429: ErrorKind.SHED_429, 503: ErrorKind.SHED_503}
_CLASSES = {3: ErrorKind.HTTP_3XX, 4: ErrorKind.HTTP_4XX, 5: ErrorKind.HTTP_5XX}


def judge_ended(answer: Answer, *, exact_length: bool) -> Outcome:
    """The outcome of a message that ended; the answer then carries the error kind where it failed.

    Args:
        answer: after ``Answer.ended``.
        exact_length: whether fewer tokens than wanted are a failure.
    """
    _settle_tokens(answer)
    if answer.status not in (0, 200):
        return _judge_status(answer)
    wanted = answer.meta.get("wanted")
    if answer.error_kind is not None:
        return Outcome.FAILED
    if not answer.status:
        answer.fail(ErrorKind.MALFORMED, "a message without a head")
    elif not answer.whole:
        answer.fail(ErrorKind.CUT, "the message ended before it was complete")
    elif not answer.chunk_ns and not answer.output_tokens:
        _blame_emptiness(answer)
    elif answer.finish_reason is None:
        answer.fail(ErrorKind.NO_FINISH, "a complete answer without a finish reason")
    elif exact_length and wanted and answer.output_tokens is not None and answer.output_tokens < wanted:
        answer.fail(
            ErrorKind.SHORT,
            f"{answer.output_tokens} tokens instead of {wanted}, though the server honours ignore_eos",
        )
    return Outcome.OK if answer.error_kind is None else Outcome.FAILED


def judge_cut_short(answer: Answer, outcome: Outcome, kind: ErrorKind | None, text: str) -> Outcome:
    """The outcome of an exchange that was cut short, by the network, the client or the end of the drain.

    What the server had said until then goes first: a request that was refused or had met an error event is no
    longer merely cut or incomplete.
    """
    _settle_tokens(answer)
    if answer.status not in (0, 200):
        return _judge_status(answer)
    if answer.error_kind is not None:
        return Outcome.FAILED
    answer.error_kind, answer.error = kind, text
    return outcome


def _judge_status(answer: Answer) -> Outcome:
    status = answer.status
    said = error_of_body(bytes(answer.body))
    if status in _SHED:
        answer.error_kind, answer.error = _SHED[status], said
        return Outcome.SHED
    answer.error_kind = _CLASSES.get(status // 100, ErrorKind.MALFORMED)
    answer.error = f"{status}: {said}"
    return Outcome.FAILED


def _blame_emptiness(answer: Answer) -> None:
    kind = answer.content_type.partition(";")[0].strip()
    if kind and kind != "text/event-stream" and not answer.json_body:
        answer.fail(ErrorKind.MALFORMED, f"an answer of type {kind!r} without an event")
    else:
        answer.fail(ErrorKind.EMPTY, "a complete answer without a token")


def _settle_tokens(answer: Answer) -> None:
    """Settles the number of output tokens, and whether tokens a chunk are known."""
    if answer.usage is not None:
        answer.read_usage(answer.usage)
    total = answer.usage_tokens
    if total is None:
        answer.output_tokens = answer.tokens_seen if answer.token_source is not None else None
        return
    answer.output_tokens = total
    if answer.token_source in (None, TokenSource.EVENTS):
        same = total == answer.tokens_seen
        answer.token_source = TokenSource.FINAL_USAGE if same else TokenSource.FINAL_USAGE_DIFFERS
