"""Every reason of the verdict, on both sides of its threshold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchkit.analysis.metrics import Window, build_summary
from benchkit.analysis.thresholds import THRESHOLDS

SECOND = 1_000_000_000
WINDOW = Window(0, 10 * SECOND)


def worker(**facts: Any) -> dict[str, Any]:
    """What an inconspicuous load process says of itself."""
    return {
        "worker": 0,
        "kernel_times": True,
        "pickup_lag_p99_ns": 200_000,
        "pickup_lag_max_ns": 900_000,
        "loop_gap_max_ns": 3_000_000,
        "shared_events": 0,
        "events": 100,
        "cpu_share": 0.2,
        "clock_offset_steps_ns": 0,
        "limits_hit": [],
        "watched_ns": 10 * SECOND,
        "involuntary_switches": 40,
        "run_queue_ns": 20_000_000,
        "gc_collections": 0,
    } | facts


def telemetry(source: str, at_ms: list[float], **values: float | list[float]) -> pd.DataFrame:
    """Samples at these times; a name's value is one number, or one a time."""
    rows = [
        {
            "time_ns": round(at * 1e6),
            "source": source,
            "name": name.replace("__", ":"),
            "labels": "{}",
            "value": float(value[place] if isinstance(value, list) else value),
        }
        for place, at in enumerate(at_ms)
        for name, value in values.items()
    ]
    return pd.DataFrame(rows)


@pytest.fixture
def judged(row, records):
    """The validity of a run of sound requests of 40 ms, changed as asked.

    ``rows`` replaces the first requests, ``more`` is appended, ``base`` is how many there are; ``workers``,
    ``load`` and ``parameters`` change the client's facts and the parameters; ``said`` is the telemetry.
    """

    def judge_run(
        *, rows=(), more=(), base=100, workers=None, load=None, parameters=None, window=WINDOW, said=None
    ) -> dict[str, Any]:
        sound = [
            row(100.0 * number, [(100.0 * number + 20, 1), (100.0 * number + 40, 1)])
            for number in range(base)
        ]
        run = records([*rows, *sound[len(rows) :], *more])
        facts = {"workers": [worker()] if workers is None else workers, "stopped_by": None} | (load or {})
        return build_summary(
            run.requests,
            run.chunks,
            window=window,
            objectives=[],
            load_facts=facts,
            parameters={"load": "poisson", "transport": "stamped"} | (parameters or {}),
            telemetry=said,
        )["validity"]

    return judge_run


def levels(validity: dict[str, Any]) -> dict[str, str]:
    """Reasons by name."""
    return {reason["name"]: reason["level"] for reason in validity["reasons"]}


def test_a_sound_run_is_valid(judged):
    """No reason, and every check was made that there is something to look at for."""
    validity = judged()
    assert (validity["verdict"], validity["reasons"]) == ("valid", [])
    told_elsewhere = {"in_flight_gap", "requests_gap", "tokens_gap", "prefix_hits", "steal"}
    not_of_this_run = {"lockstep", "records_lost", "repeats_disagree", "buffered"}
    assert set(validity["checked"]) == {threshold.name for threshold in THRESHOLDS} - (
        told_elsewhere | not_of_this_run
    )


def case(row, name: str, *, bad: bool) -> dict[str, Any]:
    """A run just past the limit of a check, or just at it."""
    failed = {"outcome": "failed", "error_kind": "reset"}
    late = 1.0 if bad else 0.0
    cases: dict[str, dict[str, Any]] = {
        "no_ok_request": {
            "base": 0,
            "more": [row(0, [(20, 1), (40, 1)], outcome="interrupted" if bad else "ok")],
        },
        "client_broke": {"load": {"stopped_by": "worker_died" if bad else None}},
        "records_lost": {"load": {"lost_bytes": 1 if bad else 0}},
        "failures": {"rows": [row(0, [], end=5, **failed)] * (2 if bad else 1)},
        "shed": {"rows": [row(0, [], end=5, outcome="shed")] * (2 if bad else 1)},
        "incomplete": {"rows": [row(0, [(20, 1)], outcome="incomplete")] * (2 if bad else 1)},
        "stopped_early": {"load": {"stopped_by": "interrupt" if bad else None}},
        # All latencies are 40 ms: five of them are 200 ms.
        "short_window": {"window": Window(0, 199_000_000 if bad else 200_000_000), "base": 2},
        "lockstep": lockstep(row, bad=bad),
        "throttled": {
            "rows": [row(0, [(20, 1), (40, 1)], waited_ms=1.0, scheduled_ms=-1.0)] * (2 if bad else 1)
        },
        # The 99th percentile of 100 values lies 0.01 above the second largest: 5 and 5.01.
        "lateness_p99": {"rows": [row(9.0 + late, [(20, 1), (49 + late, 1)], scheduled_ms=4.0)] * 3},
        "lateness_max": {"rows": [row(50 + late, [(70, 1), (90 + late, 1)], scheduled_ms=0.0)]},
        "pickup_lag_p99": {"workers": [worker(pickup_lag_p99_ns=2_000_000 + bad)]},
        "pickup_lag_max": {"workers": [worker(pickup_lag_max_ns=50_000_000 + bad)]},
        "loop_gap_max": {"workers": [worker(), worker(loop_gap_max_ns=50_000_000 + bad)]},
        "shared_stamps": {"rows": [shared_row(row, 11 if bad else 10)], "base": 71},
        "blurred_stamps": {
            # 60 events are shared, and the reads of 30 were late: of 148 events, or of 150.
            "rows": [shared_row(row, 30, lag=1.5), shared_row(row, 30, lag=0.9)],
            "base": 16 if bad else 17,
        },
        "worker_cpu": {"workers": [worker(cpu_share=0.71 if bad else 0.70)]},
        "no_kernel_times": {"workers": [worker(), worker(kernel_times=not bad)]},
        "httpx_transport": {"parameters": {"transport": "httpx" if bad else "stamped"}},
        "clock_steps": {"workers": [worker(clock_offset_steps_ns=1_000_000 + bad)]},
        "limits_hit": {"workers": [worker(limits_hit=["open files"] if bad else [])]},
        "drift": {"base": 0, "more": moving(row, 600, 1.5 if bad else 1.0), "window": Window(0, 60 * SECOND)},
        "repeats_disagree": {
            "base": 0,
            "more": moving(row, 300, 1.0) + moving(row, 300, 1.0, from_ms=30_000, factor=1.5 if bad else 1.0),
            "load": {
                "windows": [
                    {"start_ns": 0, "end_ns": 30 * SECOND},
                    {"start_ns": 30 * SECOND, "end_ns": 60 * SECOND},
                ]
            },
        },
        # One request is under way at each page, and 0.2 of one may be on its way there.
        "in_flight_gap": {
            "said": telemetry(
                "server",
                [500.0 * page + 20 for page in range(20)],
                vllm__num_requests_running=1.31 if bad else 1.29,
                vllm__num_requests_waiting=0.0,
            )
        },
        # 100 came back, and one stray is granted.
        "requests_gap": {"said": _counted(vllm__request_success_total=[7, 7 + (103 if bad else 102)])},
        # 200 were stamped, and those of one stray request of two tokens are granted.
        "tokens_gap": {"said": _counted(vllm__generation_tokens_total=[9, 9 + (205 if bad else 204)])},
        "prefix_hits": {"rows": [row(0, [(20, 1), (40, 1)], cached_tokens=11 if bad else 10)]},
        "buffered": {
            "base": 0,
            "more": [
                row(
                    at,
                    [(at + 20 + (0.01 if at < (2 if bad else 1) else 10) * token, 1) for token in range(8)],
                )
                for at in range(100)
            ],
        },
        "context_switches": {"workers": [worker(involuntary_switches=3_001 if bad else 3_000)]},
        "run_queue": {"workers": [worker(), worker(run_queue_ns=SECOND + bad)]},
        "steal": {"said": telemetry("host", [100.0, 600.0, 1_100.0], steal_percent=5.1 if bad else 5.0)},
        "gc_ran": {"workers": [worker(), worker(gc_collections=int(bad))]},
        "usage_gap": {"rows": [row(0, [(20, 1), (40, 1)], output_tokens=3)] * (2 if bad else 1)},
        "tokens_unknown": {"rows": [row(0, [(20, 1), (40, 1)], known=False)] * (2 if bad else 1)},
        "tokens_assumed": {"rows": [row(0, [(20, 1), (40, 1)], token_source="events")] * (2 if bad else 1)},
    }
    return cases[name]


def _counted(**counters: list[float]) -> pd.DataFrame:
    """A server's counters before the run and after it."""
    return telemetry("server", [-500.0, 10_500.0], **counters)


def moving(
    row, count: int, last: float, *, from_ms: float = 0.0, factor: float = 1.0
) -> list[dict[str, Any]]:
    """Requests 100 ms apart whose times scatter by a tenth and grow to ``last`` times what they were."""
    noise = np.random.default_rng(count).normal(1.0, 0.1, count) * factor * np.linspace(1.0, last, count)
    sends = from_ms + 100.0 * np.arange(count)
    return [
        row(sent, [(sent + 20 * by, 1), (sent + 40 * by, 1)])
        for sent, by in zip(sends.tolist(), noise.tolist(), strict=True)
    ]


def shared_row(row, censored: int, lag: float | None = 0.1) -> dict[str, Any]:
    """A request of 60 events in 40 ms, the first ones censored, all read with this lag in ms."""
    events = [(0.5 + 0.6 * number, 1) for number in range(60)]
    return row(0, events, lag=lag, chunk_shared=[number < censored for number in range(60)])


def lockstep(row, *, bad: bool) -> dict[str, Any]:
    """Ten waves of eight streams of 800 ms: all at once, or 100 ms apart."""
    step = 5.0 if bad else 100.0
    starts = [wave * 800.0 + stream * step for wave in range(10) for stream in range(8)]
    return {
        "base": 0,
        "more": [row(at, [(at + 20, 1), (at + 40, 1)]) for at in starts],
        "parameters": {"load": "concurrent", "concurrency": 8},
    }


@pytest.mark.parametrize("threshold", THRESHOLDS, ids=lambda threshold: threshold.name)
def test_each_check_speaks_past_its_limit_and_only_then(judged, row, threshold):
    """Just past its limit a check gives its reason with value, limit and remedy; at it, it is silent."""
    bad = judged(**case(row, threshold.name, bad=True))
    good = judged(**case(row, threshold.name, bad=False))
    assert threshold.name not in levels(good)
    assert threshold.name in good["checked"]
    reason = next(each for each in bad["reasons"] if each["name"] == threshold.name)
    assert reason["level"] == ("suspect" if threshold.suspect is not None else "invalid")
    assert reason["threshold"] == threshold.limit(reason["level"])
    assert reason["remedy"] == threshold.remedy
    past = reason["value"] < reason["threshold"] if threshold.below else reason["value"] > reason["threshold"]
    assert past


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("failures", "rows"),
        ("lateness_p99", {"lateness": 101.0, "count": 5}),
        ("lateness_max", {"lateness": 1001.0, "count": 1}),
        ("pickup_lag_p99", {"pickup_lag_p99_ns": 50_000_001}),
        ("pickup_lag_max", {"pickup_lag_max_ns": SECOND + 1}),
        ("loop_gap_max", {"loop_gap_max_ns": SECOND + 1}),
        ("worker_cpu", {"cpu_share": 0.951}),
        ("clock_steps", {"clock_offset_steps_ns": [-50_000_001, 3]}),
    ],
)
def test_what_is_far_past_its_limit_makes_the_run_invalid(judged, row, name, change):
    """The second limit of a check turns the verdict from suspect to invalid."""
    if change == "rows":
        validity = judged(rows=[row(0, [], end=5, outcome="failed", error_kind="reset")] * 21)
    elif "lateness" in change:
        sent = change["lateness"]
        validity = judged(
            rows=[row(sent, [(sent + 20, 1), (sent + 40, 1)], scheduled_ms=0)] * change["count"]
        )
    else:
        validity = judged(workers=[worker(**change)])
    assert levels(validity)[name] == "invalid"
    assert validity["verdict"] == "invalid"
    assert validity["reasons"][0]["level"] == "invalid"


def test_many_streams_spread_over_half_a_wave_are_no_lockstep(judged, row):
    """64 streams make a mild unevenness certain; the verdict asks for bunching, not for certainty."""
    starts = [wave * 800.0 + stream * 400 / 64 for wave in range(10) for stream in range(64)]
    more = [row(at, [(at + 20, 1), (at + 40, 1)]) for at in starts]
    parameters = {"load": "concurrent", "concurrency": 64}
    assert levels(judged(base=0, more=more, parameters=parameters)) == {}


def test_a_client_that_slept_is_caught_though_its_lag_looks_fine(judged, row):
    """Stopped for 300 ms: lag p99 13 ms, a third of the events share stamps, the loop stood for 300 ms."""
    asleep = worker(pickup_lag_p99_ns=13_000_000, pickup_lag_max_ns=311_000_000, loop_gap_max_ns=300_000_000)
    validity = judged(rows=[shared_row(row, 60, lag=13.0)], base=70, workers=[asleep])
    assert validity["verdict"] == "invalid"
    assert levels(validity) == {
        "blurred_stamps": "invalid",
        "pickup_lag_p99": "suspect",
        "pickup_lag_max": "suspect",
        "loop_gap_max": "suspect",
        "shared_stamps": "suspect",
    }


def test_a_server_that_merges_events_does_not_invalidate_a_client_that_was_awake(judged, row):
    """Shared stamps that were picked up at once came together: suspect, for the gaps inside are unknown."""
    validity = judged(rows=[shared_row(row, 60, lag=0.1)], workers=[worker(loop_gap_max_ns=40_000_000)])
    assert levels(validity) == {"shared_stamps": "suspect"}


@pytest.mark.parametrize(("loop_gap_ns", "level"), [(19_999_999, None), (20_000_000, "invalid")])
def test_without_kernel_times_the_loops_gap_tells_whether_shared_stamps_are_blurred(
    judged, row, loop_gap_ns, level
):
    """There is no lag to look at: a loop that stood still for 20 ms makes all shared stamps blurred ones."""
    facts = worker(kernel_times=False, loop_gap_max_ns=loop_gap_ns)
    validity = judged(rows=[shared_row(row, 60, lag=None)], base=70, workers=[facts])
    assert levels(validity).get("blurred_stamps") == level


def test_the_largest_lag_of_the_records_counts_too(judged, row):
    """A worker that says nothing of its lag is judged by its requests."""
    validity = judged(
        rows=[row(0, [(20, 1), (40, 1)], lag=60.0)], workers=[{"worker": 0, "kernel_times": True}]
    )
    assert levels(validity) == {"pickup_lag_max": "suspect"}


def test_missing_facts_are_not_judged(judged):
    """Without a word of the load processes there is no reason from them, and they do not count as checked."""
    validity = judged(workers=[])
    assert validity["verdict"] == "valid"
    assert not {"worker_cpu", "loop_gap_max", "no_kernel_times"} & set(validity["checked"])


def test_the_stock_transport_is_named_once(judged):
    """It has no kernel times by nature: one reason says so, not two."""
    validity = judged(workers=[worker(kernel_times=False)], parameters={"transport": "httpx"})
    assert levels(validity) == {"httpx_transport": "suspect"}


def test_reasons_are_for_people(judged):
    """Each reason carries what was seen, why it matters and what to do."""
    reason = judged(load={"stopped_by": "max_error_rate"})["reasons"][0]
    assert all(reason[key] for key in ("what", "reason", "remedy", "unit"))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("drift", "tpot_ms +4"),
        ("repeats_disagree", "latency_ms ±2"),
        ("in_flight_gap", "1 by the client, 1.31 by the server"),
        ("requests_gap", "100 by the client, 103 by the server"),
    ],
)
def test_a_reason_names_what_it_is_about(judged, row, name, words):
    """Which metric drifts and how far, and what either side counted, stands with the reason."""
    reason = next(each for each in judged(**case(row, name, bad=True))["reasons"] if each["name"] == name)
    assert words in reason["detail"]


def test_hits_that_all_prompts_explain_are_no_reason(judged, row):
    """What every prompt begins with, by the plan and by the chat template, any server has in its cache."""
    rows = [row(0, [(20, 1), (40, 1)], cached_tokens=400)]
    assert levels(judged(rows=rows)) == {"prefix_hits": "suspect"}
    assert levels(judged(rows=rows, parameters={"prefix_tokens": 4})) == {}


def test_threshold_names_are_unique_and_levels_ordered():
    """No two checks share a name; an invalid limit lies beyond the suspect one."""
    names = [threshold.name for threshold in THRESHOLDS]
    assert len(set(names)) == len(names)
    for threshold in THRESHOLDS:
        assert threshold.basis
        assert threshold.suspect is not None or threshold.invalid is not None
        if threshold.suspect is not None and threshold.invalid is not None:
            assert (threshold.invalid > threshold.suspect) != threshold.below
