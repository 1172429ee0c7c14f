"""Per-request formulas, ours and the other tools', worked out by hand and against their own files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchkit.analysis.definitions import DEFINITIONS, per_request, pooled, tool_statistics

DATA = Path(__file__).parents[1] / "data"


@pytest.fixture
def one(row, records):
    """One request of four events.

    Scheduled at 0 ms, connecting from 1 to 4, waiting 2 under max_in_flight, sent at 8; events of 1, 1, 3
    and 2 tokens at 58, 78, 108 and 168 ms; first visible text with the second, first answer with the third;
    end 170.
    """
    return records(
        [
            row(
                8.0,
                [(58, 1), (78, 1), (108, 3), (168, 2)],
                end=170,
                lag=0.25,
                scheduled_ms=0.0,
                connect_start_ms=1.0,
                connected_ms=4.0,
                waited_ms=2.0,
                first_text_ms=78.0,
                first_answer_ms=108.0,
            )
        ]
    )


def test_benchkits_formulas(one):
    """Every per-request metric of one request, by hand.

    TTFT 58 - 8 = 50; text 78 - 8 = 70; answer 108 - 8 = 100; from schedule 58 - 0 = 58; connect 4 - 1 = 3.
    Gaps 20, 30, 60: longest 60. n = 7, k_1 = 1: TPOT (168 - 58) / (7 - 1) = 110/6 = 18.333.
    Latency 170 - 8 = 162, from schedule 170; normalized 162 / 7 = 23.143.
    Lateness 8 - 0 - 3 - 2 = 3.
    """
    found = per_request(one.requests, one.chunks).iloc[0].to_dict()
    assert found == pytest.approx(
        {
            "ttft_ms": 50.0,
            "ttft_text_ms": 70.0,
            "ttft_answer_ms": 100.0,
            "ttft_from_schedule_ms": 58.0,
            "connect_ms": 3.0,
            "max_gap_ms": 60.0,
            "tpot_ms": 110 / 6,
            "latency_ms": 162.0,
            "latency_from_schedule_ms": 170.0,
            "normalized_latency_ms": 162 / 7,
            "lateness_ms": 3.0,
            "pickup_lag_ms": 0.25,
        }
    )


def test_vllms_formulas(one):
    """vLLM: clock from before connecting (1 ms), to the last event.

    TTFT 58 - 1 = 57; latency 168 - 1 = 167; TPOT (167 - 57) / (7 - 1) = 110/6; ITL pools 20, 30 and 60: the
    mean of a request is 110/3.
    """
    found = per_request(one.requests, one.chunks, "vllm").iloc[0].to_dict()
    expected = {"ttft_ms": 57.0, "itl_ms": 110 / 3, "tpot_ms": 110 / 6, "latency_ms": 167.0}
    assert found == pytest.approx(expected)
    assert pooled(one.requests, one.chunks, "itl_ms", "vllm").values.tolist() == pytest.approx([20, 30, 60])


def test_guidellms_formulas(one):
    """GuideLLM 0.8: ITL (168 - 58) / (7 - 1); TPOT holds the first wait, (168 - 8) / 7; latency 170 - 8."""
    found = per_request(one.requests, one.chunks, "guidellm").iloc[0].to_dict()
    expected = {"ttft_ms": 50.0, "itl_ms": 110 / 6, "tpot_ms": 160 / 7, "latency_ms": 162.0}
    assert found == pytest.approx(expected)


def test_the_articles_formulas(one):
    """Early GuideLLM: generation = 170 - 58 = 112; TPOT 112 / 7 = 16; ITL 112 / 6."""
    found = per_request(one.requests, one.chunks, "article").iloc[0].to_dict()
    expected = {"ttft_ms": 50.0, "itl_ms": 112 / 6, "tpot_ms": 16.0, "latency_ms": 162.0}
    assert found == pytest.approx(expected)


def test_the_articles_synchronous_row(row, records):
    """Latency 2.11 s, TTFT 24.7 ms, 256 tokens: the article states TPOT 8.1 ms and ITL 8.2 ms.

    (2110 - 24.7) / 256 = 8.146; (2110 - 24.7) / 255 = 8.178.
    """
    run = records([row(0.0, [(24.7, 1), (2110.0, 255)])])
    found = per_request(run.requests, run.chunks, "article").iloc[0]
    assert (round(found["tpot_ms"], 1), round(found["itl_ms"], 1)) == (8.1, 8.2)


def test_benchkits_itl_is_the_pace_of_each_token(one):
    """Gaps of 20, 30 and 60 ms bring 1, 3 and 2 tokens: paces 20, 10 and 30 with weights 1, 3 and 2."""
    found = pooled(one.requests, one.chunks, "itl_ms")
    assert found.values.tolist() == pytest.approx([20, 10, 30])
    assert found.weights.tolist() == [1, 3, 2]


def test_guidellm_weighs_requests_by_their_tokens(row, records):
    """ITL has weight n - 1, TPOT weight n.

    Request A: sent 0, tokens at 10 and 30: n = 2, ITL 20 (weight 1), TPOT 15 (weight 2).
    Request B: sent 0, tokens at 10, 15, 20, 25: n = 4, ITL 5 (weight 3), TPOT 25/4 (weight 4).
    Mean ITL (20 + 3 * 5) / 4 = 8.75; mean TPOT (2 * 15 + 4 * 6.25) / 6 = 55/6; median of {20, 5, 5, 5}: 5,
    without interpolation.
    """
    run = records([row(0, [(10, 1), (30, 1)]), row(0, [(10, 1), (15, 1), (20, 1), (25, 1)])])
    itl = tool_statistics(run.requests, run.chunks, "itl_ms", "guidellm")
    tpot = tool_statistics(run.requests, run.chunks, "tpot_ms", "guidellm")
    assert (itl["count"], itl["mean"], itl["p50"]) == (4, pytest.approx(8.75), 5.0)
    assert (tpot["count"], tpot["mean"]) == (6, pytest.approx(55 / 6))


@pytest.mark.parametrize(
    ("chunks", "columns", "nulls"),
    [
        ([], {"output_tokens": 0}, {"ttft_ms", "max_gap_ms", "tpot_ms", "normalized_latency_ms"}),
        ([(50, 1)], {}, {"max_gap_ms", "tpot_ms"}),
        ([(50, 4)], {}, {"max_gap_ms", "tpot_ms"}),
        ([(50, 1), (70, 1)], {"known": False}, {"tpot_ms"}),
        ([(50, 1), (70, 1)], {"output_tokens": None}, {"tpot_ms", "normalized_latency_ms"}),
        ([(50, 1), (70, 1)], {"lag": None}, {"pickup_lag_ms"}),
        ([(50, 1), (70, 1)], {"first_answer_ns": None}, {"ttft_answer_ms"}),
    ],
)
def test_what_a_request_cannot_give_is_null(row, records, chunks, columns, nulls):
    """A quantity without its ingredients is null, never 0; everything else is there."""
    known = columns.pop("known", True)
    lag = columns.pop("lag", 0.1)
    run = records([row(0.0, chunks, end=100.0, known=known, lag=lag, **columns)])
    found = per_request(run.requests, run.chunks).iloc[0]
    nulls = nulls | {"connect_ms"}
    if not chunks:
        nulls |= {"ttft_text_ms", "ttft_answer_ms", "ttft_from_schedule_ms"}
    assert set(found.index[found.isna()]) == nulls


@pytest.mark.parametrize(
    ("outcome", "given"),
    [
        ("ok", {"ttft_ms", "latency_ms", "tpot_ms", "lateness_ms"}),
        ("incomplete", {"ttft_ms", "lateness_ms"}),
        ("interrupted", {"ttft_ms", "lateness_ms"}),
        ("failed", {"lateness_ms"}),
        ("shed", {"lateness_ms"}),
    ],
)
def test_the_outcome_decides_which_quantities_count(row, records, outcome, given):
    """Latencies are those of ok requests; a censored one's first token counts too; sends always count."""
    run = records([row(0.0, [(50, 1), (70, 1)], outcome=outcome)])
    found = per_request(run.requests, run.chunks).iloc[0][["ttft_ms", "latency_ms", "tpot_ms", "lateness_ms"]]
    assert set(found.index[found.notna()]) == given


def test_a_second_attempts_connection_is_not_the_clients_lateness(row, records):
    """A stale connection is replaced after the first send: that connecting is not taken off.

    Scheduled 0, first sent 1, connecting again from 2 to 12: lateness 1 - 0 = 1.
    """
    run = records([row(1.0, [(60, 1)], scheduled_ms=0.0, connect_start_ms=2.0, connected_ms=12.0, attempt=2)])
    found = per_request(run.requests, run.chunks).iloc[0]
    assert (found["lateness_ms"], found["connect_ms"]) == (1.0, 10.0)


def test_the_frame_keeps_the_tables_index(row, records):
    """Rows are joined to the requests by label, also in a selection of rows."""
    run = records([row(0.0, [(50, 1)]), row(5.0, [(60, 1)])])
    requests = run.requests.set_axis(["a", "b"])
    assert per_request(requests, run.chunks).index.tolist() == ["a", "b"]


def test_unknown_definitions_and_foreign_chunks_are_refused(row, records):
    """The error names the definitions there are; chunks of other rows are no input."""
    run = records([row(0.0, [(50, 1)])])
    with pytest.raises(ValueError, match=", ".join(DEFINITIONS)):
        per_request(run.requests, run.chunks, "mlperf")
    with pytest.raises(ValueError, match="1 requests have chunks, the table has 0"):
        per_request(run.requests.iloc[:0], run.chunks)


@pytest.fixture
def vllm_file(row, records):
    """A result file of ``vllm bench serve --save-detailed`` and its arrays as records.

    Its chunks are all events with choices, the finish event included: their number says nothing of tokens.
    """
    file = json.loads((DATA / "vllm_bench_detailed.json").read_text())
    rows = []
    for ttft, gaps, tokens in zip(file["ttfts"], file["itls"], file["output_lens"], strict=True):
        stamps = 1e3 * (ttft + np.concatenate(([0.0], np.cumsum(gaps))))
        rows.append(row(0.0, [(at, 1) for at in stamps], known=False, output_tokens=tokens))
    return file, records(rows)


@pytest.mark.parametrize(
    ("metric", "name"), [("ttft_ms", "ttft"), ("tpot_ms", "tpot"), ("itl_ms", "itl"), ("latency_ms", "e2el")]
)
def test_vllms_own_statistics_are_reproduced(vllm_file, metric, name):
    """From vLLM's per-request arrays our "vllm" definition gives the statistics that vLLM stated."""
    file, run = vllm_file
    found = tool_statistics(run.requests, run.chunks, metric, "vllm")
    stated = {key: file[f"{label}_{name}_ms"] for key, label in _VLLM_LABELS.items()}
    assert {key: found[key] for key in stated} == pytest.approx(stated, abs=2e-6)


_VLLM_LABELS = {"mean": "mean", "std": "std", "p50": "median", "p95": "p95", "p99": "p99"}


@pytest.fixture
def guidellm_file(row, records):
    """Requests of a GuideLLM 0.8.1 result file: it has the first and the last token's time, no other."""
    file = json.loads((DATA / "guidellm_constant_requests.json").read_text())
    rows = []
    for request in file["requests"]:
        times = request["timings"]
        since = {key: 1e3 * (value - times["request_start"]) for key, value in times.items()}
        events = [(since["first_token_iteration"], 1), (since["last_token_iteration"], 15)]
        rows.append(row(0.0, events, end=since["request_end"]))
    return file, records(rows)


_GUIDELLM_NAMES = {
    "ttft_ms": "time_to_first_token_ms",
    "tpot_ms": "time_per_output_token_ms",
    "itl_ms": "inter_token_latency_ms",
    "latency_ms": "request_latency",
}


@pytest.mark.parametrize("metric", list(_GUIDELLM_NAMES))
def test_guidellms_own_numbers_are_reproduced(guidellm_file, metric):
    """From GuideLLM's timings our "guidellm" definition gives each request's value as GuideLLM stated it."""
    file, run = guidellm_file
    factor = 1e3 if metric == "latency_ms" else 1.0
    stated = [factor * request[_GUIDELLM_NAMES[metric]] for request in file["requests"]]
    values = per_request(run.requests, run.chunks, "guidellm")[metric]
    assert values.tolist() == pytest.approx(stated, abs=1e-5)


@pytest.mark.parametrize(("percent", "key"), [(50, "p50"), (90, "p90"), (95, "p95"), (99, "p99")])
def test_guidellms_percentiles_are_observed_values(guidellm_file, percent, key):
    """Its percentiles invert the distribution function: numpy's "inverted_cdf", std with ddof 0."""
    _, run = guidellm_file
    values = per_request(run.requests, run.chunks, "guidellm")["ttft_ms"].to_numpy()
    found = tool_statistics(run.requests, run.chunks, "ttft_ms", "guidellm")
    assert found[key] == np.percentile(values, percent, method="inverted_cdf")
    assert found["std"] == pytest.approx(values.std(ddof=0))


def test_the_tools_disagree_on_one_server(one):
    """One request, three TPOTs: ours (vLLM's here, since its first event bears one token) and two others."""
    values = [per_request(one.requests, one.chunks, name)["tpot_ms"].iloc[0] for name in DEFINITIONS]
    assert values == pytest.approx([110 / 6, 110 / 6, 160 / 7, 16.0])
