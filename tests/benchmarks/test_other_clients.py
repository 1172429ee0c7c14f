"""Other clients' files are laid beside the paced server's log without adding an error of our own."""

import json
import time

import foreign_clients
import numpy as np
import other_clients
import pytest

from benchkit.analysis.client_error import Spread
from benchkit.analysis.client_map import Cell
from benchkit.parameters import resolve
from benchkit.parameters.selftest import SelftestParameters
from benchkit.report import renderer
from benchkit.serving.paced.log import PacedLog

TOKENS, GAP_NS = 5, 7_000_000


@pytest.fixture
def log():
    """What a server sent of three answers that began 2 ms apart, a second ago."""
    began = time.monotonic_ns() - 1_000_000_000
    sent = np.concatenate([began + row * 2_000_000 + np.arange(TOKENS) * GAP_NS for row in range(3)])
    return PacedLog(
        requests=("other-2", "other-0", "other-1"),
        arrived_ns=sent[::TOKENS] - 1_000_000,
        offsets=np.arange(0, 3 * TOKENS + 1, TOKENS),
        due_ns=sent,
        sent_ns=sent,
        stages_ns=(),
        cpu_ns=0,
    )


def _times(log, name):
    row = log.requests.index(name)
    return log.arrived_ns[row], log.sent_ns[log.offsets[row] : log.offsets[row + 1]]


def test_vllm_is_read_token_by_token_by_name(tmp_path, log):
    """A file of vLLM's that is late by 3 ms with every token gives an error of 3 ms with every token."""
    rows = [_times(log, f"other-{number}") for number in range(3)]
    stamps = [(arrived, sent + 3_000_000) for arrived, sent in rows]
    result = {
        "start_times": [arrived / 1e9 for arrived, _ in stamps],
        "ttfts": [(sent[0] - arrived) / 1e9 for arrived, sent in stamps],
        "itls": [(np.diff(sent) / 1e9).tolist() for _, sent in stamps],
        "errors": ["", "", "cut"],
    }
    (tmp_path / "vllm.json").write_text(json.dumps(result))
    read = foreign_clients.Client("vLLM", "0", lambda *_: None, foreign_clients.read_vllm)
    sent, late = foreign_clients.errors_ms(read.run(None, tmp_path), log)
    assert late == pytest.approx([3.0] * 2 * TOKENS, abs=1e-3)
    assert np.all(np.diff(sent) > 0)


@pytest.mark.parametrize("named", [True, False])
def test_aiperf_is_read_by_name_and_without_in_order(tmp_path, log, named):
    """Records of AIPerf give their error with every token; without names, that of first tokens in order."""
    offset = time.time_ns() - time.monotonic_ns()
    lines = []
    for name in log.requests:
        arrived, sent = _times(log, name)
        stamps = sent + 1_500_000
        metadata = {"request_start_ns": int(arrived + offset)} | ({"x_request_id": name} if named else {})
        first, gaps = (stamps[0] - arrived) / 1e6, (np.diff(stamps) / 1e6).tolist()
        metrics = {"time_to_first_token": {"value": first}, "inter_chunk_latency": {"value": gaps}}
        lines.append(json.dumps({"metadata": metadata, "metrics": metrics, "error": None}))
    (tmp_path / "profile_export.jsonl").write_text("\n".join(lines))
    _, late = foreign_clients.errors_ms(foreign_clients.read_aiperf(tmp_path), log)
    assert len(late) == 3 * (TOKENS if named else 1)
    assert late == pytest.approx([1.5] * len(late), abs=0.2)


def test_guidellm_is_read_by_its_first_tokens(tmp_path, log):
    """A file of GuideLLM's gives the error of first tokens, whatever the order of its lines."""
    offset = time.time_ns() - time.monotonic_ns()
    firsts = [(sent + offset + 800_000) / 1e9 for sent in log.sent_ns[::TOKENS]]
    requests = [{"info": {"timings": {"first_token_iteration": first}}} for first in reversed(firsts)]
    (tmp_path / "benchmarks.json").write_text(
        json.dumps({"benchmarks": [{"requests": {"successful": requests}}]})
    )
    _, late = foreign_clients.errors_ms(foreign_clients.read_guidellm(tmp_path), log)
    assert late == pytest.approx([0.8] * 3, abs=0.2)


def test_a_client_of_another_run_is_refused(log):
    """Names that the server never saw end the comparison instead of leaving it empty."""
    told = [foreign_clients.Told("someone-else", log.sent_ns[:TOKENS])]
    with pytest.raises(SystemExit, match="someone-else"):
        foreign_clients.errors_ms(told, log)


def test_table_and_chart_hold_every_client():
    """Each client has a row a number of streams with the pace that it holds, and is drawn."""
    asked = resolve({"streams": [10], "tokens_per_s": [1000, 2000], "requests_per_s": []}, SelftestParameters)
    found = [
        other_clients.Measured(client, "loop", _cell(rate, factor * rate / 1000))
        for client, factor in (("swift", 0.1), ("slow", 2.0))
        for rate in asked.tokens_per_s
    ]
    rows = other_clients.table(found, asked).splitlines()[2:]
    assert rows == [
        "| swift | 10 | 0.10 | 0.20 | at least 2,000 | at least 2,000 |",
        "| slow | 10 | 2.00 | 4.00 | under 1,000 | at least 2,000 |",
    ]
    assert renderer.png(other_clients.chart(found), scale=1).startswith(b"\x89PNG")


def _cell(rate, p99):
    spread = Spread(100, p99 / 2, p99, None, None, p99)
    return Cell("streams", 10, float(rate), float(rate), 1.0, None, spread, None, spread, None)
