"""benchkit on a real vLLM: exact lengths, the server's own times, ``vllm bench serve``'s numbers, refusal."""

import subprocess
import sys

import httpx
import numpy as np
import pytest
from side_by_side import ALWAYS, GAP, LATENCY, TTFT, Comparison, first_tokens, samples_of, server_mean

import benchkit
from benchkit.analysis.definitions import per_request
from benchkit.errors import PreflightFailed, UnknownModel
from benchkit.parameters import resolve
from benchkit.plan.plan import Plan
from benchkit.plan.spec import PlanSpec
from benchkit.records.kinds import Phase
from benchkit.report.execute import report_from_notebook
from benchkit.telemetry.prometheus import window_increase

pytestmark = [pytest.mark.vllm, pytest.mark.slow]

MODEL = "tiny-random"
STREAMS = 4
PROMPT_TOKENS, OUTPUT_TOKENS = "vllm:prompt_tokens_total", "vllm:generation_tokens_total"
ROUNDS, MOST_ROUNDS = 3, 5


@pytest.fixture(scope="module")
def reported(vllm_server, tmp_path_factory):
    """One benchmark by papermill: chat, text prompts, four streams; gives the run and its report."""
    parameters = {
        "url": vllm_server.url,
        "concurrency": STREAMS,
        "input_tokens": 128,
        "output_tokens": 64,
        "warmup_s": 2.0,
        "duration_s": 8.0,
        "out": str(tmp_path_factory.mktemp("reported")),
    }
    report = report_from_notebook("run_benchmark", parameters)
    return benchkit.load_run(report.parent), report


def test_a_report_by_papermill(reported):
    """The notebook measures vLLM and becomes a report; prompts and answers have exactly the wanted length."""
    run, report = reported
    requests = run.requests

    assert run.manifest["status"] == "complete"
    assert set(requests.outcome) == {"ok"}
    assert run.summary["requests"]["ok"] == (requests.phase == "window").sum() > STREAMS
    assert run.manifest["preflight"]["prompt_lengths"]["source"] == "tokenize_endpoint"
    assert set(requests.prompt_tokens) == {128}
    assert set(requests.output_tokens) == {64}
    assert set(requests.token_source) == {"chunk_usage"}
    assert set(requests.finish_reason) == {"length"}
    assert run.stored.chunks.known.all()
    assert (report.name, report.parent) == ("report.html", run.path)
    page = report.read_text()
    assert MODEL in page
    assert run.verdict in page


def test_times_agree_with_the_servers_own(reported, say):
    """Of the same requests, TTFT, latency and gaps are the server's own plus a few ms of its front end.

    The server's clock for a request starts behind its HTTP front end, and it notes a token's time before it
    writes it: our times are later, never earlier. By how much was measured on two cores: 2-8 ms for the whole,
    3-12 ms for the first token, which waits for a core beside the engine's work. Where the client was kept from
    a core, the first tokens that shared a read are only known to lie before their stamp; the verdict says so.
    """
    run, _ = reported
    samples, values = samples_of(run), per_request(run.requests, run.stored.chunks)
    ttft, latency, gap = (server_mean(samples, name) for name in (TTFT, LATENCY, GAP))
    extent, inside = run.manifest["load"]["window"], run.requests.phase == "window"
    window = extent["start_ns"], extent["end_ns"]
    window_ttft, window_latency = (server_mean(samples, name, window) for name in (TTFT, LATENCY))
    rows = [
        ("whole load", "TTFT", values.ttft_ms, ttft),
        ("whole load", "latency", values.latency_ms, latency),
        ("window", "TTFT", values.ttft_ms[inside], window_ttft),
        ("window", "latency", values.latency_ms[inside], window_latency),
    ]
    lines = ["benchkit and the server's own /metrics: means in ms (of how many)"]
    lines += [
        f"  {over:11} {name:8} benchkit {ours.mean():8.2f} ({ours.count()})   server {own.mean:8.2f} "
        f"({own.observations})"
        for over, name, ours, own in rows
    ]
    known = first_tokens(run)
    for name, ours, own in (("TTFT", known.ttft_ms, ttft), ("gap", known.gap_ms, gap)):
        bounds = f"benchkit {ours.low:8.2f} to {ours.high:.2f}"
        lines.append(f"  whole load  {name:8} {bounds}   server {own.mean:8.2f} ({own.observations})")
    say("\n".join([*lines, f"  verdict: {run.verdict}"]))

    assert ttft.observations == latency.observations == len(run.requests)
    assert window_increase(samples, PROMPT_TOKENS, *ALWAYS) == run.requests.prompt_tokens.sum()
    assert window_increase(samples, OUTPUT_TOKENS, *ALWAYS) == run.requests.output_tokens.sum()
    assert latency.mean - 1 <= values.latency_ms.mean() <= 1.02 * latency.mean + 10
    assert known.ttft_ms.low <= 1.15 * ttft.mean + 10
    assert known.ttft_ms.high >= ttft.mean - 1
    assert known.gap_ms.hold(gap.mean, slack=0.02)
    if run.verdict == "valid":
        assert values.ttft_ms.mean() <= 1.15 * ttft.mean + 10
    # The server counts by when a request ended, we by when it was due: other requests at both edges.
    assert values.latency_ms[inside].mean() == pytest.approx(window_latency.mean, rel=0.2)


def test_numbers_agree_with_vllm_bench_serve(vllm_server, vllm_bench, scrape, tmp_path, say):
    """On one server in turns, output tokens are equal and TPOT is within 10 %, by medians of three.

    A machine that does other things serves one run slower than the next, which the server's own pace tells, and
    keeps a client from reading. So our TPOT must be the server's own in each of our runs; and where the machine
    was even, and the other client kept up with its server, both tools' must be equal. Until then, a few more
    rounds are made.
    """
    comparison = Comparison(vllm_server.url, MODEL, vllm_bench, scrape, tmp_path)
    while comparison.rounds < ROUNDS or (not comparison.is_even() and comparison.rounds < MOST_ROUNDS):
        comparison.run_round()
    say(str(comparison))

    runs = [*comparison.ours, *comparison.theirs]
    assert {run.output_tokens for run in runs} == {comparison.requests * comparison.output_tokens}
    for run in runs:
        # Each event has one token, with rare exceptions: both formulas are one.
        assert run.tpot_ms == pytest.approx(run.vllm_tpot_ms, rel=0.02)
    for run in comparison.ours:
        assert run.gap_ms.hold(run.server_tpot_ms, slack=0.02)
        assert run.tpot_ms == pytest.approx(run.server_tpot_ms, rel=0.1)
    if comparison.is_even():
        for name in ("tpot_ms", "vllm_tpot_ms"):
            assert comparison.ratio(name) == pytest.approx(1, rel=0.1)


def test_token_ids_have_exact_lengths(vllm_server, tmp_path):
    """Prompts of token ids, of many lengths, are counted by the server as planned; so are the answers."""
    values = {
        "url": vllm_server.url,
        "endpoint": "completions",
        "prompt_form": "token_ids",
        "concurrency": STREAMS,
        "input_tokens": 64,
        "input_tokens_spread": 0.5,
        "output_tokens": 16,
        "output_tokens_spread": 0.5,
        "warmup_s": 0.0,
        "duration_s": 0.0,
        "requests": 16,
        "out": str(tmp_path),
    }
    run = benchkit.run(**values)

    plan = Plan(PlanSpec.of(resolve(values), model=MODEL))
    wanted = {session.index: session.turns[0] for session in plan.sessions(Phase.WINDOW)}
    requests = run.requests.set_index("index").sort_index()
    assert set(requests.outcome) == {"ok"}
    assert list(requests.index) == sorted(wanted) == list(range(16))
    assert requests.prompt_tokens.nunique() > 8
    assert list(requests.prompt_tokens) == [wanted[index].prompt_tokens for index in requests.index]
    assert list(requests.output_tokens) == [wanted[index].output_tokens for index in requests.index]


@pytest.mark.parametrize(("ignore_eos", "tokens", "reason"), [(True, 12, "length"), (False, 1, "stop")])
def test_ignore_eos_is_honoured(vllm_server, tmp_path, ignore_eos, tokens, reason):
    """A model that says nothing but its end token answers at full length if asked to, else with one token.

    Such tokens have no text: an event bears one if `usage` says so.
    """
    run = benchkit.run(
        url=vllm_server.url,
        endpoint="completions",
        concurrency=STREAMS,
        input_tokens=32,
        output_tokens=12,
        ignore_eos=ignore_eos,
        extra_body={"logit_bias": {"1": 100}},
        warmup_s=0.0,
        duration_s=0.0,
        requests=8,
        out=str(tmp_path),
    )

    requests = run.requests
    assert set(requests.outcome) == {"ok"}
    assert set(requests.output_tokens) == {tokens}
    assert set(requests.finish_reason) == {reason}
    chunks = run.stored.chunks
    sums = np.add.reduceat(chunks.tokens, chunks.offsets[:-1])
    assert set(sums) == {tokens}
    assert requests.first_token_ns.notna().all()
    assert requests.first_text_ns.isna().all()


def test_doctor_says_what_it_is(vllm_server):
    """`benchkit doctor` names vLLM, its version, and that usage, ignore_eos and token ids are as needed."""
    version = httpx.get(f"{vllm_server.url}/version", timeout=30, trust_env=False).json()["version"]

    command = [sys.executable, "-m", "benchkit", "doctor", vllm_server.url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    assert done.returncode == 0, done.stderr
    lines = {line[2:20].strip(): line for line in done.stdout.splitlines() if line[:1] in "✓·!✗"}
    assert done.stdout.splitlines()[0] == f"{vllm_server.url} (vllm {version})"
    assert lines["model"].split() == ["✓", "model", MODEL]
    assert "2,048 tokens" in lines["context"]
    assert "✓ usage" in lines["usage"]
    assert "on every event" in lines["usage"]
    assert lines["ignore eos"].startswith("✓")
    assert "32 of 32 tokens" in lines["ignore eos"]
    assert "/tokenize" in lines["prompt lengths"]
    assert "512 tokens is counted as 512" in lines["length"]
    assert "16 ids are 16 tokens" in lines["token ids"]


@pytest.mark.parametrize(
    ("values", "error", "remedy"),
    [
        ({"model": "tiny-rendom"}, UnknownModel, "did you mean 'tiny-random'"),
        ({"input_tokens": 4096}, PreflightFailed, "--max-model-len"),
    ],
)
def test_a_senseless_run_is_refused_before_any_load(vllm_server, scrape, tmp_path, values, error, remedy):
    """A model that is not served, and prompts beyond the context: a remedy, no request, no folder."""
    before = scrape()

    with pytest.raises(error, match=remedy):
        benchkit.run(url=vllm_server.url, out=str(tmp_path), **values)

    after = scrape()
    for counter in ("vllm:request_success_total", PROMPT_TOKENS, OUTPUT_TOKENS):
        assert after[counter] == before[counter]
    assert list(tmp_path.iterdir()) == []
