"""The parts of a sweep's report that are words: what was found, objectives, verdicts, what was run, and how again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any, Final, Protocol

from benchkit.analysis.knee import Output, knee
from benchkit.analysis.points import LoadPoint
from benchkit.analysis.slo import Evaluation, quantity
from benchkit.analysis.slo_stated import evaluate_points
from benchkit.records.paths import scrub_paths
from benchkit.redaction import REDACTED
from benchkit.report import sections, sweep_objectives
from benchkit.report.again import parameters_yaml
from benchkit.report.amounts import NONE, amount
from benchkit.report.section import Section
from benchkit.report.sweep_layout import printable
from benchkit.report.sweep_loads import Load, in_order, loads, named

_FILE: Final = "again.yaml"
_SIGNS: Final = {"meets": "✓", "fails": "✗", "undecided": "?"}


class SweepLike(Protocol):
    """A `benchkit.Sweep`: its record, its points, and what it says of single ones."""

    manifest: dict[str, Any]

    @property
    def points(self) -> list[LoadPoint]: ...  # noqa: D102
    @property
    def remarks(self) -> list[tuple[str, str]]: ...  # noqa: D102


def found(points: Iterable[LoadPoint], slo: Sequence[str] | None = None) -> Section:
    """What came of it? For each setting of the server its most, its knee, and how far its objectives held.

    Args:
        points: the loads.
        slo: objectives; what the points were judged by when None.
    """
    given = list(points)
    every = [load for load in loads(given) if load.requests_per_s is not None]
    told = [
        (name, sentence)
        for name in dict.fromkeys(load.series for load in every)
        for sentence in _sentences([load for load in every if load.series == name], slo)
    ]
    lines = [f"{name}: {text}" if name else text for name, text in told] or ["0 loads were measured."]
    return Section(
        f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>", "\n".join(map(printable, lines))
    )


def objectives(points: Iterable[LoadPoint], slo: Sequence[str] | None = None) -> Section:
    """Which loads meet the objectives, as far as their samples can tell? One row a load, one column an objective."""
    ordered = in_order(points)
    asked = sweep_objectives.objectives(ordered, slo)
    if not asked:
        text = "No objectives were given (slo)."
        return Section("<p>No objectives were given (<code>slo</code>).</p>", text)
    header = ["load", *(each.text for each in asked)]
    judged = [evaluate_points(asked, point) for point in ordered]
    rows = [
        [named(point), *map(_verdict, evaluations)]
        for point, evaluations in zip(ordered, judged, strict=True)
    ]
    notes: dict[str, list[str]] = {}
    for point, evaluations in zip(ordered, judged, strict=True):
        for each in evaluations:
            if each.note and each.verdict == "undecided":
                notes.setdefault(each.text, []).append(f"{named(point)}: {each.note}")
    feet = [
        f"{text} is undecided at {len(those)} of {len(ordered)} loads; at {those[0]}"
        for text, those in notes.items()
    ]
    return _table(header, rows, feet)


def verdicts(points: Iterable[LoadPoint]) -> Section:
    """Can the numbers be believed? Each reason against them once, with the loads that it is about and its remedy."""
    ordered = in_order(points)
    words = [point.verdict or NONE for point in ordered]
    counts = {word: words.count(word) for word in ("valid", "suspect", "invalid") if word in words}
    head = ", ".join(f"{count} {word}" for word, count in counts.items()) or "0 points"
    reasons = _grouped(
        ((str(each["level"]), str(each["what"]), str(each["reason"]), str(each["remedy"])), named(point))
        for point in ordered
        for each in (point.summary.get("validity") or {}).get("reasons") or ()
    )
    rows = [
        [level, what, why, remedy, _loads(those)] for (level, what, why, remedy), those in reasons.items()
    ]
    lines = [f"- {row[1]} ({row[4]}): {row[2]}\n  do: {row[3]}" for row in rows]
    shown = [[cell.replace("`", "") for cell in row] for row in rows]
    table = _table(["level", "seen", "why it matters", "remedy", "at"], shown, []).html if rows else ""
    return Section(
        f"<p><strong>Verdicts of {len(ordered)} loads: {escape(head)}</strong></p>{table}",
        "\n".join([f"verdicts of {len(ordered)} loads: {head}", *lines]),
    )


def remarks(sweep: SweepLike) -> Section:
    """What is to be known of single loads? Saturation, what held the client back, what failed."""
    told = [f"{label}: {sentence}" for label, sentence in sweep.remarks]
    place = getattr(sweep, "path", None)
    where = scrub_paths(str(place)) if place is not None else ""
    if not told:
        text = "Every load was measured, in a steady state."
        return Section(f"<p>{text}</p>", text, sweep=where)
    items = "".join(f"<li>{escape(line)}</li>" for line in told)
    return Section(f"<ul>{items}</ul>", "\n".join(map(printable, told)), sweep=where)


def manifest(sweep: SweepLike) -> Section:
    """What exactly was run, on what, against what? The sweep's record, with machine and server of its first load."""
    first = next((point.records.manifest for point in sweep.points if point.records is not None), {})
    shared = {name: first[name] for name in ("server", "environment", "preflight") if first.get(name)}
    return sections.record({**sweep.manifest, **shared})


def again(sweep: SweepLike) -> Section:
    """How to run this again: all parameters as YAML, the papermill line, the benchkit line."""
    text = parameters_yaml(sweep.manifest).replace("# The run of", "# The sweep of", 1)
    lines = [
        f"papermill notebooks/sweep.ipynb outputs/again.ipynb -f {_FILE}",
        f"benchkit sweep -f {_FILE}",
    ]
    secret = (
        f" Values shown as {REDACTED} are secrets that no file holds: put them back first."
        if REDACTED in text
        else ""
    )
    html = (
        f"<p>Save these parameters as <code>{_FILE}</code> in the project's folder.{escape(secret)}</p>"
        f"<pre>{escape(text)}</pre>"
        "<p>Then either line runs it again, or goes on with it where it was not finished:</p>"
        f"<pre>{escape(chr(10).join(lines))}</pre>"
    )
    return Section(f'<div class="bk-again">{html}</div>', f"# {_FILE}{secret}\n{text}\n" + "\n".join(lines))


def _sentences(curve: Sequence[Load], slo: Sequence[str] | None) -> list[str]:
    best = max(curve, key=lambda load: load.requests_per_s or 0.0)
    tokens = best.rate_of("output_tokens_per_s")
    output = "" if tokens is None else f", {amount(tokens)} output tokens/s"
    told = [f"at most {amount(best.requests_per_s)} requests/s{output} ({best.label})"]
    told += _knee_sentence(curve)
    steady = [load for load in curve if load.on_curve]
    points = [point for load in curve for point in load.points]
    asked = sweep_objectives.objectives(points, slo)
    judged = [evaluate_points(asked, load.first) for load in steady]
    for at, each in enumerate(asked):
        evaluations = [one[at] for one in judged]
        values = [
            (load, one.value) for load, one in zip(steady, evaluations, strict=True) if one.value is not None
        ]
        sentence = sweep_objectives.told(each, values, evaluations[0].unit if evaluations else "")
        unsure = sum(one.verdict == "undecided" for one in evaluations)
        if sentence:
            told.append(sentence + (f"; undecided at {unsure} of {len(steady)} loads" if unsure else ""))
    saturated = [load.label for load in curve if load.saturated]
    if saturated:
        told.append(f"saturated: {', '.join(saturated)}")
    return told


def _knee_sentence(curve: Sequence[Load]) -> list[str]:
    at = knee(
        [Output(load.in_flight or 0.0, load.requests_per_s or 0.0, not load.saturated) for load in curve]
    )
    if at is None:
        return []
    where = f"{amount(at.in_flight)} requests in flight and {amount(at.per_s)} requests/s"
    if not at.reached:
        return [f"the knee was not reached: it lies at {where} or beyond"]
    return [f"knee at about {where}: beyond it, waiting grows faster than output"]


def _verdict(each: Evaluation) -> str:
    value = "" if each.value is None else f" ({quantity(each.value, each.unit)})"
    return f"{_SIGNS[each.verdict]} {each.verdict}{value}"


def _grouped(pairs: Iterable[tuple[Any, str]]) -> Mapping[Any, list[str]]:
    groups: dict[Any, list[str]] = {}
    for key, label in pairs:
        if label not in groups.setdefault(key, []):
            groups[key].append(label)
    return groups


def _loads(labels: Sequence[str]) -> str:
    return ", ".join(labels) if len(labels) <= 4 else f"{', '.join(labels[:3])} and {len(labels) - 3} more"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], feet: Sequence[str]) -> Section:
    head = "".join(f"<th>{escape(text)}</th>" for text in header)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    below = "".join(f'<p class="bk-quiet">{escape(foot)}</p>' for foot in feet)
    widths = [max(len(row[at]) for row in (header, *rows)) for at in range(len(header))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (header, *rows)
    ]
    return Section(
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{below}",
        "\n".join(map(printable, [*lines, *feet])),
    )
