"""A run's result as text, line by line as ``vllm bench serve`` prints it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchkit.report.precision import between, doubt, limits_of
from benchkit.report.tables import interval, judged, quantity

_WIDTH = 50
_LABEL = 40
_VALUE = 10
_STATISTICS = (("mean", "Mean"), ("p50", "Median"), ("p90", "P90"), ("p95", "P95"), ("p99", "P99"))
_SECTIONS = (
    ("ttft_ms", "TTFT", "Time to First Token"),
    ("tpot_ms", "TPOT", "Time per Output Token (excl. 1st token)"),
    ("itl_ms", "ITL", "Inter-token Latency"),
    ("latency_ms", "E2EL", "End-to-end Latency"),
    ("max_gap_ms", "Pause", "Longest Pause of a Request"),
    ("lateness_ms", "Lateness", "Client: Lateness of Sends"),
)
_JUDGED = frozenset({"lateness_ms"})
"""Facts about the client during this run, not estimates of anything."""


def result_block(summary: Mapping[str, Any], manifest: Mapping[str, Any]) -> str:
    """The result as ``vllm bench serve`` prints it, line by line, with lines of ours between and after.

    Definitions are benchkit's, see docs/metrics.md. Behind a value stand the limits of its 95 % interval, or a star
    where the run does not tell how sure it is. The verdict stands at the end, with its reasons and remedies.

    Args:
        summary: summary.json.
        manifest: manifest.json; names the run in the last section.
    """
    whole = summary["windows"]["whole"]
    lines = [*_overview(summary, whole)]
    starred = False
    for name, short, title in _SECTIONS:
        section, has_star = _section(whole["metrics"][name], name, short, title)
        lines += section
        starred |= has_star
    lines += _sureness(summary, starred=starred)
    lines += _objectives(summary.get("slo") or ())
    lines += _verdict(summary["validity"], manifest)
    return "\n".join([_title("Serving Benchmark Result", "="), *lines, "=" * _WIDTH])


def _overview(summary: Mapping[str, Any], whole: Mapping[str, Any]) -> Iterator[str]:
    rates, totals, counts = whole["rates"], whole["totals"], summary["requests"]
    yield _line("Successful requests:", _whole(counts["ok"]))
    yield _line("Benchmark duration (s):", _fixed(whole["length_s"]))
    yield _line("Total input tokens:", _whole(totals["prompt_tokens"]))
    yield _line("Total generated tokens:", _whole(totals["output_tokens"]))
    yield _rate("Request throughput (req/s):", rates["requests_per_s"])
    yield _rate("Output token throughput (tok/s):", rates["output_tokens_per_s"])
    yield _rate("Total token throughput (tok/s):", rates["total_tokens_per_s"])
    for name, label in (("failed", "Failed"), ("shed", "Shed"), ("incomplete", "Incomplete")):
        yield _line(f"{label} requests:", _whole(counts[name]))
    if counts["interrupted"]:
        yield _line("Interrupted requests:", str(counts["interrupted"]))
    for kind, count in counts["by_kind"].items():
        yield _line(f"  {kind}:", str(count))
    if rates["goodput_per_s"]["value"] is not None:
        yield _rate("Request goodput (req/s):", rates["goodput_per_s"])
    in_flight = whole["metrics"]["in_flight"]
    yield _line("Mean requests in flight:", _fixed(in_flight["mean"]), _limits(in_flight, "mean"))


def _section(entry: Mapping[str, Any], name: str, short: str, title: str) -> tuple[list[str], bool]:
    lines, starred = [_title(title, "-")], False
    statistics = _STATISTICS if name not in _JUDGED else (*_STATISTICS, ("max", "Max"))
    if name == "max_gap_ms":
        statistics = (*_STATISTICS, ("max", "Longest"))
    for key, label in statistics:
        more = "" if name in _JUDGED else _limits(entry, key)
        star = " *" if name not in _JUDGED and doubt(name, entry, key) else ""
        starred |= bool(star)
        lines.append(_line(f"{label} {short} (ms):", _fixed(entry[key]) + star, more))
    return lines, starred


def _sureness(summary: Mapping[str, Any], *, starred: bool) -> Iterator[str]:
    """What the limits behind the values are, and how much stands behind them."""
    told = summary["windows"]["whole"].get("intervals")
    if told is None:
        if starred:
            yield "* not resolved by its sample"
        return
    yield _title("How Sure", "-")
    yield _line(
        "Limits: 95 % interval from:", "this run" if told["by"] == "run" else f"{told['runs']} {told['by']}"
    )
    if told.get("effective_requests") is not None:
        yield _line("Requests in the window:", _whole(told["requests"]))
        yield _line("  as good as so many independent:", _whole(told["effective_requests"]))
    if told.get("repeats_needed"):
        yield f"repeats needed: {told['repeats_needed']}"
    if starred:
        yield "* not resolved by its sample: see the report for why, and what the sample does tell"


def _objectives(slo: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if slo:
        yield _title("Objectives", "-")
    for each in slo:
        told = interval(each)
        yield f"{each['text']}: {each['verdict']} ({quantity(each)}{f', {told}' if told else ''})"
        if each.get("note"):
            yield f"  {each['note']}"


def _verdict(validity: Mapping[str, Any], manifest: Mapping[str, Any]) -> Iterator[str]:
    yield _title("Can it be believed?", "-")
    yield _line("Verdict:", validity["verdict"])
    if manifest.get("name"):
        yield _line("Run:", _plain(str(manifest["name"])))
    said: set[str] = set()
    for reason in validity["reasons"]:
        yield f"{reason['level']}: {reason['what']}: {judged(reason)}"
        yield f"  why: {reason['reason']}"
        if reason["remedy"] not in said:
            yield f"  do:  {reason['remedy']}"
            said.add(reason["remedy"])


def _title(text: str, mark: str) -> str:
    return f" {text} ".center(_WIDTH, mark) if mark == "=" else text.center(_WIDTH, mark)


def _line(label: str, value: str, limits: str = "") -> str:
    return f"{label:<{_LABEL}} {value:<{_VALUE}} {limits}".rstrip()


def _rate(label: str, entry: Mapping[str, Any]) -> str:
    return _line(label, _fixed(entry["value"]), _limits(entry, ""))


def _limits(entry: Mapping[str, Any], statistic: str) -> str:
    limits = limits_of(entry, statistic)
    return "" if limits is None else between(*limits)


def _fixed(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.2f}"


def _whole(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.0f}"


def _plain(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)
