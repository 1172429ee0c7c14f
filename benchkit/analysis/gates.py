"""Gates: how much worse a number may become, as text and as a decision over all of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from benchkit.analysis.compared_number import ComparedNumber, parse_number
from benchkit.analysis.difference import Difference, Direction, Outcome, holm, limit_of, p_beyond, p_within
from benchkit.analysis.power import Range, more_needed
from benchkit.errors import InvalidParameter

_TEXT = re.compile(
    r"(?P<number>[^+\N{MINUS SIGN}-]*[^+\N{MINUS SIGN}\s-])(?:\s*(?P<sign>[+\N{MINUS SIGN}-])\s*|\s+)"
    r"(?P<percent>\d+(?:\.\d+)?)\s*%"
)
_EITHER_WAY = frozenset({"in_flight", "tokens_per_chunk", "offered_per_s", "sent_per_s"})
"""Of these neither a rise nor a drop is worse by itself."""


class Gate(NamedTuple):
    """The change of a number that is still allowed."""

    number: ComparedNumber
    threshold: float
    """As a share: 0.05."""
    direction: Direction
    """Whether a rise or a drop beyond it fails."""

    @property
    def text(self) -> str:
        """As a person writes it: ``p99 ttft +5%``."""
        return f"{self.number.text} {'+' if self.direction == 'rise' else '-'}{100 * self.threshold:g}%"


@dataclass(frozen=True, slots=True)
class JudgedGate:
    """A gate under one load, and what became of it."""

    gate: Gate
    load: str
    """The load in words; empty where only one was compared."""
    difference: Difference
    outcome: Outcome
    p_beyond: float | None
    """That the change is beyond the threshold, by Holm over all gates: small when it is."""
    p_within: float | None
    """That it is not: small when it is within."""
    alpha: float
    """Share of errors of either kind."""
    untrusted: str = ""
    """Why nothing may be decided, whatever the numbers say."""

    @property
    def why(self) -> str:
        """The outcome in a sentence."""
        return self.untrusted or _why(self.gate, self.difference, self.outcome, self.alpha)


def parse_gate(text: str) -> Gate:
    """The gate that a text names: a number and a signed percentage, ``p99 ttft +5%``, ``output_tokens_per_s -3%``.

    Raises:
        InvalidParameter: it names none, or a change for the better.
    """
    found = _TEXT.fullmatch(text.strip())
    if found is None:
        raise InvalidParameter(
            f"{text!r} is no gate: write a number and the change that is allowed, as 'p99 ttft +5%' or "
            "'output_tokens_per_s -3%'"
        )
    number, share = parse_number(found["number"]), float(found["percent"]) / 100
    worse: Direction = "rise" if number.higher_is_worse else "drop"
    sign = "+" if worse == "rise" else "-"
    if not found["sign"]:
        raise InvalidParameter(
            f"{text!r} does not say in which direction: write '{number.text} {sign}{found['percent']}%'"
        )
    direction: Direction = "rise" if found["sign"] == "+" else "drop"
    if direction != worse and number.metric not in _EITHER_WAY:
        raise InvalidParameter(
            f"{text!r} would fail when {number.text} becomes better, and never when it becomes worse: write "
            f"'{number.text} {sign}{found['percent']}%'"
        )
    if direction == "drop" and share >= 1:
        raise InvalidParameter(f"{text!r} can't fail: nothing drops by more than 100 %")
    return Gate(number, share, direction)


class Gated(NamedTuple):
    """A gate and the difference that it is about."""

    gate: Gate
    load: str
    difference: Difference


def judge_gates(gated: Sequence[Gated], *, alpha: float, untrusted: str = "") -> tuple[JudgedGate, ...]:
    """Decides all gates together.

    That any gate fails though none should is as rare as for a single one (Holm). That all of them pass though one
    should not needs no correction: each of them has to pass.

    Args:
        gated: the gates with their differences, of all loads.
        alpha: share of errors of each kind.
        untrusted: why nothing may be decided, whatever the numbers say; empty where they can be believed.
    """
    beyond = [p_beyond(each.difference, each.gate.threshold, each.gate.direction) for each in gated]
    known = [at for at, p in enumerate(beyond) if p is not None]
    adjusted = dict(zip(known, holm([p for p in beyond if p is not None]), strict=True))
    return tuple(
        _judged(each, adjusted.get(at), alpha=alpha, untrusted=untrusted) for at, each in enumerate(gated)
    )


def overall(judged: Sequence[JudgedGate]) -> Outcome | None:
    """One word for all gates: fail if one fails, pass if all pass; None without gates."""
    if not judged:
        return None
    outcomes = {each.outcome for each in judged}
    return "fail" if "fail" in outcomes else "inconclusive" if "inconclusive" in outcomes else "pass"


def more_to_decide(difference: Difference, gate: Gate) -> Range | None:
    """How many more pairs, or runs a side, would decide a gate, were the true change as it was seen."""
    if difference.sd_log is None or difference.ratio is None:
        return None
    apart = abs(difference.ratio / limit_of(gate.threshold, gate.direction) - 1)
    values = 1 if difference.paired else 2
    return more_needed(
        difference.sd_log,
        difference.freedom,
        have=min(difference.units),
        change=max(apart, 1e-6),
        values=values,
    )


def _judged(each: Gated, beyond: float | None, *, alpha: float, untrusted: str) -> JudgedGate:
    gate, found = each.gate, each.difference
    within = p_within(found, gate.threshold, gate.direction)
    outcome: Outcome = "inconclusive"
    if not untrusted and beyond is not None and within is not None:
        outcome = "fail" if beyond < alpha else "pass" if within < alpha else "inconclusive"
    return JudgedGate(gate, each.load, found, outcome, beyond, within, alpha, untrusted)


def _why(gate: Gate, found: Difference, outcome: Outcome, alpha: float) -> str:
    limits = found.interval(1 - 2 * alpha)
    if limits is None or found.ratio is None:
        return f"cannot tell: {found.note}"
    low, high = (_signed(limit) for limit in limits)
    seen = f"{_signed(found.ratio)} ({low} to {high}, {100 * (1 - 2 * alpha):.3g} %)"
    allowed = _signed(limit_of(gate.threshold, gate.direction))
    if outcome == "fail":
        return f"{seen} is beyond the {allowed} that is allowed"
    if outcome == "pass":
        return f"{seen} is within the {allowed} that is allowed"
    more, what = more_to_decide(found, gate), "pairs" if found.paired else "runs a side"
    told = "" if more is None else f"; if the change is as seen, {more.text()} more {what} would decide it"
    return f"{seen} has the {allowed} that is allowed inside its interval{told}"


def _signed(ratio: float) -> str:
    return f"{100 * (ratio - 1):+.3g} %"
