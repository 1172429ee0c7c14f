"""Looks at what stands round the API: version, proxies, clocks, metrics, warmth, prompts of real length."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

from benchkit.answers import ModelCard
from benchkit.errors import TargetError
from benchkit.experiments import judgements
from benchkit.experiments.counting import sample_text
from benchkit.experiments.findings import Finding, Level, plain
from benchkit.experiments.probe import Ask, Negotiated, Probe, send
from benchkit.http import ControlClient
from benchkit.load.clock import kernel_times_available
from benchkit.parameters import RunParameters
from benchkit.plan.vocabulary import Vocabulary
from benchkit.telemetry.prometheus import parse, start_in

__all__ = ["Closer", "describe_server", "judge_proxy", "judge_server_clock", "look_closer"]

_PROXIES = (
    "nginx",
    "envoy",
    "cloudflare",
    "haproxy",
    "traefik",
    "caddy",
    "apache",
    "openresty",
    "istio",
    "awselb",
)
_ENGINES = ("vllm", "sglang", "llamacpp", "tensorrt", "lmdeploy", "ollama", "tgi")
_IDS = 16
_LONGEST_SAMPLE = 4096


class Closer(NamedTuple):
    """What a closer look brought."""

    probes: tuple[Probe, ...]
    findings: tuple[Finding, ...]


def describe_server(
    client: ControlClient, cards: Sequence[ModelCard], card: ModelCard | None
) -> dict[str, Any]:
    """Give what the server says of itself, null where silent: version, models, max_model_len, engine, started_at."""
    version = _quietly(client.version)
    owners = {str(entry.raw.get("owned_by", "")).lower() for entry in cards}
    said = " ".join([*owners, (version or "").lower()])
    engine = "benchkit" if "benchkit" in said else next((name for name in _ENGINES if name in said), None)
    return {
        "version": plain(version) if version else None,
        "models": [plain(entry.id) for entry in cards],
        "max_model_len": card.max_model_len if card else None,
        "engine": engine,
        "started_at": _started_at(client),
    }


def _started_at(client: ControlClient) -> float | None:
    """When the server's process began, in seconds since 1970, by its own ``/metrics``."""
    text = _quietly(client.metrics)
    try:
        return None if text is None else start_in(parse(text))
    except ValueError:
        return None


def judge_proxy(probe: Probe) -> list[Finding]:
    """Tell whether a proxy answered, judged by the answer's headers."""
    software = plain(probe.headers.get("server", ""), 60)
    via = plain(probe.headers.get("via", ""), 60)
    named = next((name for name in _PROXIES if name in software.lower()), None)
    if not via and not named:
        return []
    text = f"a proxy answers ({via or software}): its time is inside every number"
    return [Finding(Level.NOTE, "proxy", text)]


def look_closer(
    client: ControlClient, first: Negotiated, vocabulary: Vocabulary, parameters: RunParameters
) -> Closer:
    """Send what a run does not need to know each time: a prompt of real length, token ids, control calls.

    Raises:
        TargetError: The server stopped answering.
    """
    ask, findings = first.ask, []
    wanted = min(parameters.input_tokens, _LONGEST_SAMPLE)
    second = send(client, replace(ask, prompt=_sample_prompt(ask, vocabulary, wanted)))
    findings += [_judge_length(second, wanted, vocabulary, ask), judgements.judge_warmth(first.probe, second)]
    probes = [second]
    if isinstance(ask.prompt, str):
        ids = tuple(range(1000, 1000 + _IDS))
        third = send(client, replace(ask, endpoint="completions", prompt=ids, max_tokens=1, extra_body={}))
        probes.append(third)
        findings.append(judgements.judge_token_ids(third, _IDS))
    findings += [_judge_metrics(client), _judge_round_trip(client)]
    findings += [judge_server_clock(first.probe.headers, time.time()), _judge_own_clock()]
    return Closer(tuple(probes), tuple(findings))


def _sample_prompt(ask: Ask, vocabulary: Vocabulary, wanted: int) -> str | tuple[int, ...]:
    if not isinstance(ask.prompt, str):
        return tuple(1000 + (7 * index) % 3000 for index in range(wanted))
    return sample_text(vocabulary, max(1, wanted - vocabulary.overhead_tokens))


def _judge_length(probe: Probe, wanted: int, vocabulary: Vocabulary, ask: Ask) -> Finding:
    if probe.status != 200:
        text = f"a prompt of {wanted} tokens is refused ({probe.status}: {plain(probe.error or '', 120)})"
        return Finding(Level.FATAL, "length", text, "lower input_tokens, or see what it says")
    if probe.prompt_tokens is None:
        return Finding(
            Level.NOTE, "length", f"a prompt of {wanted} tokens is taken; without usage it is not checked"
        )
    if probe.prompt_tokens == wanted:
        return Finding(Level.OK, "length", f"a prompt of {wanted} tokens is counted as {wanted}")
    off = 100 * (probe.prompt_tokens - wanted) / wanted
    level = Level.NOTE if abs(off) < 1 and vocabulary.source != "uncounted" else Level.WARNING
    text = f"a prompt of {wanted} tokens is counted as {probe.prompt_tokens} ({off:+.1f} %)"
    remedy = "give the tokenizer of the served model: tokenizer" if isinstance(ask.prompt, str) else ""
    return Finding(level, "length", text, remedy)


def _judge_metrics(client: ControlClient) -> Finding:
    text = _quietly(client.metrics)
    if text is None:
        return Finding(
            Level.NOTE, "metrics", "no /metrics: nothing of the server's own is recorded beside a run"
        )
    families = {
        line.split()[2] for line in text.splitlines() if line.startswith("# TYPE ") and len(line.split()) > 2
    }
    engine = sum(name.startswith(("vllm:", "sglang:")) for name in families)
    return Finding(Level.OK, "metrics", f"{len(families)} families, {engine} of the engine")


def _judge_round_trip(client: ControlClient) -> Finding:
    times = []
    for _ in range(5):
        begin = time.perf_counter()
        client.health()
        times.append((time.perf_counter() - begin) * 1e3)
    text = f"{min(times):.1f} ms for a small call on a kept connection, part of every TTFT"
    return Finding(Level.NOTE if min(times) > 20 else Level.OK, "round_trip", text)


def judge_server_clock(headers: Mapping[str, str], now_s: float) -> Finding:
    """Hold the server's ``Date`` header, which has whole seconds, against this machine's clock."""
    try:
        date_s = parsedate_to_datetime(headers["date"]).timestamp()
    except (KeyError, ValueError, TypeError):
        return Finding(Level.OK, "server_clock", "the server does not tell the time; nothing depends on it")
    skew_s = now_s - date_s
    if -2 < skew_s < 3:
        return Finding(Level.OK, "server_clock", "agrees with this machine's to within its whole seconds")
    text = f"{abs(skew_s):.0f} s {'behind' if skew_s > 0 else 'ahead of'} this machine's"
    return Finding(
        Level.NOTE, "server_clock", text, "times in the server's log cannot be laid beside a run's"
    )


def _judge_own_clock() -> Finding:
    clock = time.get_clock_info("monotonic")
    resolution = f"monotonic clock of {clock.resolution * 1e9:.0f} ns"
    if kernel_times_available():
        return Finding(Level.OK, "clock", f"{resolution}; the kernel stamps what it receives")
    text = f"{resolution}; no kernel receive times here: stamps are the event loop's"
    return Finding(Level.NOTE, "clock", text)


def _quietly(call: Callable[[], str | None]) -> str | None:
    try:
        return call()
    except TargetError:
        return None
