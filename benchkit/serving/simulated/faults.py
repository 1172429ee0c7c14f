"""Faults that a request can ask of the embedded server, so that clients can be tested against them."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Faults:
    """What goes wrong with a request.

    Written as a comma-separated list, ``cut_after:5`` or ``429,slow_start:200``; a number follows its name
    after ``:`` or ``_``. Comes in the header ``X-Benchkit-Fault``, in the body's ``benchkit_fault``, or from
    the server's setting ``fault`` (then for all requests).
    """

    status: int = 0
    """Answer with this HTTP status (written as the number alone: ``429``, ``503``, ``500``)."""
    shed_above: int = 0
    """Answer 429 when so many requests wait already."""
    crash_after: int = 0
    """The server's process dies after this many tokens, as with an engine that fails."""
    engine_stall_ms: int = 0
    """The whole engine stands still for this long when the request arrives: all streams, and who waits."""
    slow_start: int = 0
    """Milliseconds before anything of the answer leaves, its head included."""
    cut_after: int = 0
    """Close the connection after this many tokens."""
    error_event: int = 0
    """An error event in the stream after this many tokens (3 if no number is given)."""
    malformed: int = 0
    """An event that is no JSON after this many tokens (3 if no number is given)."""
    stall_ms: int = 0
    """Hold the stream for this long in the middle of the answer, then send what piled up."""
    short: int = 0
    """End the answer after this many tokens, ``ignore_eos`` or not."""
    merge: int = 0
    """Put this many tokens in each event after the first."""
    buffer: bool = False
    """Hold everything until the answer is complete, as a buffering proxy does."""
    no_usage: bool = False
    """Never send ``usage``."""
    no_continuous_usage: bool = False
    """Send ``usage`` only at the end, as servers without ``continuous_usage_stats`` do."""
    no_finish_reason: bool = False
    """End the stream without a finish reason."""
    no_done: bool = False
    """End the stream without ``[DONE]``."""
    ping: bool = False
    """A comment line before every event."""
    no_eos_control: bool = False
    """Take no notice of ``ignore_eos``."""
    no_token_ids: bool = False
    """Refuse prompts of token ids."""

    @property
    def touches_stream(self) -> bool:
        """Whether an answer's events differ from the ordinary ones."""
        return self is not NO_FAULTS and self != dataclasses.replace(
            NO_FAULTS,
            short=self.short,
            status=self.status,
            shed_above=self.shed_above,
            engine_stall_ms=self.engine_stall_ms,
        )


NO_FAULTS = Faults()
_DEFAULT_COUNTS = {
    "shed_above": 1,
    "crash_after": 3,
    "engine_stall_ms": 1_000,
    "error_event": 3,
    "malformed": 3,
    "cut_after": 3,
    "short": 3,
    "merge": 4,
    "stall_ms": 300,
    "slow_start": 300,
}
_KINDS = {field.name: type(field.default) for field in dataclasses.fields(Faults)}
_WITH_NUMBER = re.compile(r"([a-z_]+?)[:_](\d+)")


def parse_faults(text: str) -> Faults:
    """The faults that a text names.

    Raises:
        ValueError: A name that does not exist.
    """
    values: dict[str, int | bool] = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        if part.isdigit():
            values["status"] = int(part)
            continue
        found = _WITH_NUMBER.fullmatch(part)
        name = found[1] if found else part
        if name not in _KINDS or (found and _KINDS[name] is bool):
            raise ValueError(f"benchkit_fault: no fault is written {part!r}; there are {', '.join(_KINDS)}")
        values[name] = True if _KINDS[name] is bool else int(found[2]) if found else _DEFAULT_COUNTS[name]
    return Faults(**values) if values else NO_FAULTS  # type: ignore[arg-type]
