"""What a comparison says, as sentences and as rows of text: tables, plain text and Markdown are made of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from benchkit.analysis.comparison import LoadCompared, NumberCompared
from benchkit.analysis.estimate import Estimate
from benchkit.report.amounts import NONE
from benchkit.report.precision import between, measured
from benchkit.report.rows import Rows

if TYPE_CHECKING:
    from benchkit.report.compare import Comparison

_MOST_NAMED = 4
_OUTCOMES = {"pass": "Passes", "fail": "Fails", "inconclusive": "Inconclusive"}


def headline(found: Comparison) -> list[str]:
    """The answer in a few sentences, the gates' first."""
    if found.untrusted:
        return [f"Nothing is decided. {_sentence(found.untrusted)}"]
    told = [_gates(found)] if found.gates else []
    if found.is_single:
        base, new = found.names
        single = (
            f"Whether {new} differs from {base} can't be told from a single run a side: how much runs of one side "
            "differ from each other is not known. Repeat both."
        )
        return [*told, single]
    return [*told, *_differing(found)]


def _gates(found: Comparison) -> str:
    assert found.outcome is not None
    deciding = [each for each in found.gates if each.outcome == found.outcome]
    count = len(found.gates)
    if found.outcome == "pass":
        return (
            f"Passes: {'the change' if count == 1 else f'all {count} changes'} stayed within what is allowed."
        )
    named = [
        f"{each.gate.text}{f' under {each.load}' if each.load else ''}: {each.why}"
        for each in deciding[:_MOST_NAMED]
    ]
    more = f"; and {len(deciding) - _MOST_NAMED} more" if len(deciding) > _MOST_NAMED else ""
    return f"{_OUTCOMES[found.outcome]}: {'; '.join(named)}{more}."


def _differing(found: Comparison) -> Iterator[str]:
    change = found.parameters.change
    every = [(load, each) for load in found.loads for each in load.numbers]
    _, new = found.names
    out = [(load, each) for load, each in every if each.stands_out]
    for worse, word in ((True, "worse"), (False, "better")):
        named = [
            f"{_name(load, each)} {each.words(change)}"
            for load, each in out
            if each.difference.is_worse is worse
        ]
        if named:
            yield f"{new} is {word}: {_listed(named)}."
    rest = [(load, each) for load, each in every if not each.stands_out]
    bounded = [largest for _, each in rest if (largest := _bound(each, change)) is not None]
    open_ = [_name(load, each) for load, each in rest if _bound(each, change) is None]
    if bounded:
        level = 100 * (1 - rest[0][1].difference.alpha)
        what = f"{len(bounded)} other numbers do not differ" if out or open_ else "No number differs"
        yield f"{what} by more than {_up(100 * max(bounded))} % ({level:.3g} %)."
    if open_:
        yield f"Whether a change of {100 * change:g} % is there can't be told of {_listed(open_)}."


def _up(percent: float) -> str:
    """Rounded up to two figures, so that "not by more than" stays true."""
    places = 1 - _decade(percent)
    return f"{math.ceil(percent * 10**places - 1e-9) / 10**places:g}"


def _bound(compared: NumberCompared, change: float) -> float | None:
    """The largest change that is left possible, where it is small enough to say that nothing differs."""
    largest = compared.difference.largest()
    if largest is None or largest > change or compared.difference.differs():
        return None
    return largest


def numbers(found: Comparison, load: LoadCompared) -> Rows:
    """Each number under one load: both values, the change, its size beside the runs' own spread, words."""
    base, new = found.names
    rows = [
        (
            each.number.text,
            _value(each.base),
            _value(each.new),
            each.number.unit,
            change_of(each),
            _effect(each),
            each.words(found.parameters.change),
        )
        for each in load.numbers
    ]
    return Rows(("", base, new, "unit", "change", "effect", "in words"), rows)


def sizes(load: LoadCompared) -> str:
    """``5 runs against 5, paired: …``."""
    base, new = len(load.base), len(load.new)
    return f"{base} run{'' if base == 1 else 's'} against {new}; {load.pairing.why}"


def gates(found: Comparison) -> Rows:
    """Each gate and what became of it."""
    several = len(found.loads) > 1
    rows = [
        (each.gate.text, *((each.load,) if several else ()), each.outcome, each.why) for each in found.gates
    ]
    return Rows(("allowed", *(("load",) if several else ()), "outcome", "why"), rows)


def differences(found: Comparison) -> Rows:
    """In what the sides were measured differently."""
    base, new = found.names
    rows: list[tuple[str, ...]] = [
        (each.point, each.name, " or ".join(each.base), " or ".join(each.new)) for each in found.differences
    ]
    if found.settings[0] != found.settings[1]:
        rows.insert(0, ("server", "setting", *found.settings))
    return Rows(("", "", base, new), rows)


def runs(found: Comparison) -> Rows:
    """Each run: when, what it measured, and whether it can be believed."""
    rows: list[tuple[str, ...]] = []
    for load in found.loads:
        for name, side in zip(found.names, (load.base, load.new), strict=True):
            rows += [
                (
                    *((load.label,) if load.label else ()),
                    name,
                    run.name,
                    NONE if run.point.count is None else f"{run.point.count:,}",
                    run.point.verdict or NONE,
                    run.point.tool,
                )
                for run in side
            ]
    several = len(found.loads) > 1
    return Rows((*(("load",) if several else ()), "side", "run", "requests", "measurement", "tool"), rows)


def change_of(compared: NumberCompared) -> str:
    """``+5.3 % (4.0 to 6.6)``."""
    ratio, limits = compared.difference.ratio, compared.difference.interval()
    if ratio is None:
        return NONE
    if limits is None:
        return f"{100 * (ratio - 1):+.3g} %"
    low, high = (100 * (limit - 1) for limit in limits)
    digits = max(0, min(3, 1 - _decade(high - low)))
    return f"{100 * (ratio - 1):+.{digits}f} % ({low:+.{digits}f} to {high:+.{digits}f})"


def _decade(width: float) -> int:
    return 0 if width <= 0 else int(f"{width:e}".split("e")[1])


def _value(estimate: Estimate) -> str:
    if estimate.value is None:
        return NONE
    limits = estimate.interval
    return measured(estimate.value, limits) + (f" ({between(*limits)})" if limits else "")


def _effect(compared: NumberCompared) -> str:
    effect = compared.difference.effect
    return NONE if effect is None else f"{effect:+.1f}\N{NO-BREAK SPACE}sd"


def _name(load: LoadCompared, compared: NumberCompared) -> str:
    return compared.number.text + (f" under {load.label}" if load.label else "")


def _listed(parts: Sequence[str]) -> str:
    shown = [
        *parts[:_MOST_NAMED],
        *([f"{len(parts) - _MOST_NAMED} more"] if len(parts) > _MOST_NAMED else []),
    ]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + "."
