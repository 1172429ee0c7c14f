"""The intervals of a summary: of every number, from one run, from repeats, and with requests that did not end."""

import json

import numpy as np
import pandas as pd
import pytest

from benchkit.analysis.binned import TimeBins, binned_events
from benchkit.analysis.catalogue import METRICS, RATES
from benchkit.analysis.measured import measure
from benchkit.analysis.metrics import build_summary, summarise
from benchkit.analysis.recorded import measured_of
from benchkit.analysis.window import Window
from benchkit.experiments.search_simulated import SimulatedServer
from benchkit.parameters import resolve
from benchkit.records.chunks import Chunks
from benchkit.serving.simulated.settings import settings_for

STATISTICS = ("mean", "p50", "p90", "p95", "p99", "p99_9")


def simulated(duration_s=30.0, load=30.0, seed=1):
    """A run of short answers on the simulator, in virtual time."""
    work = resolve({"input_tokens": 32, "output_tokens": 4, "output_tokens_spread": 0.5, "warmup_s": 1.0})
    server = SimulatedServer(settings_for("l4-llama-3.2-1b", {"max_num_seqs": 16}), work, keep_events=True)
    return server(load, duration_s, seed)


@pytest.fixture(scope="module")
def one():
    """The records of one run of about 900 requests."""
    return simulated().records


@pytest.fixture(scope="module")
def five():
    """Five runs one after the other, as the repeats of one run: records and windows."""
    points = [simulated(8.0, seed=seed).records for seed in range(5)]
    apart_ns = 100 * 10**9
    tables, windows = [], []
    for at, point in enumerate(points):
        table = point.requests.copy()
        for name in [name for name in table if name.endswith("_ns")]:
            table[name] += at * apart_ns
        tables.append(table.assign(repeat=at))
        window = point.manifest["load"]["window"]
        windows.append(Window(window["start_ns"] + at * apart_ns, window["end_ns"] + at * apart_ns))
    parts = [point.chunks for point in points]
    counts = np.concatenate([np.diff(part.offsets) for part in parts])
    joined = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in ("tokens", "known", "shared")
    }
    stamps = np.concatenate([part.ns + at * apart_ns for at, part in enumerate(parts)])
    chunks = Chunks(np.concatenate(([0], np.cumsum(counts))), stamps, stamps, **joined)
    return pd.concat(tables, ignore_index=True), chunks, windows


def test_every_number_of_a_run_has_limits_or_words(one):
    """Each statistic of what was measured has an interval that holds it, or says why it has none."""
    whole = one.summary["windows"]["whole"]
    json.dumps(whole, allow_nan=False)
    given = set()
    for metric in METRICS:
        entry = whole["metrics"][metric.name]
        if not entry["count"]:
            assert entry["ci95"] is None
            continue
        for statistic in STATISTICS:
            limits = (entry["ci95"] or {}).get(statistic)
            assert (limits is None) == (statistic in entry.get("notes", {})), (metric.name, statistic)
            if limits is not None:
                given.add(metric.name)
                assert limits[0] <= entry[statistic] * (1 + 1e-9) <= limits[1] * (1 + 2e-9)
    assert given >= {"ttft_ms", "tpot_ms", "itl_ms", "latency_ms", "in_flight", "chunk_gap_ms"}
    for rate in RATES:
        entry = whole["rates"][rate.name]
        if entry["value"] is not None:
            assert entry["ci95"][0] < entry["value"] < entry["ci95"][1]


def test_a_summary_says_what_its_intervals_rest_on(one):
    """The run's memory, and how many independent values it is worth."""
    told = one.summary["windows"]["whole"]["intervals"]
    assert (told["by"], told["runs"], told["level"], told["variance"]) == ("run", 1, 0.95, {})
    assert told["effective_requests"] == pytest.approx(told["requests"] / told["memory_requests"])
    assert 1 <= told["memory_requests"] < told["requests"] / 50


def test_a_short_run_has_words_alone():
    """Two seconds of it: no interval of a mean, and of a p99 a lower limit at most."""
    whole = simulated(2.0).summary["windows"]["whole"]
    entry = whole["metrics"]["ttft_ms"]
    assert entry["ci95"] is None
    assert entry["notes"]["mean"].startswith("not enough data: ")
    assert "p99 needs" in entry["notes"]["p99"] or "values" in entry["notes"]["p99"]
    assert whole["rates"]["requests_per_s"]["ci95"] is None
    assert whole["rates"]["requests_per_s"]["note"].startswith("not enough data: ")


def test_repeats_have_the_limits_of_their_spread(five):
    """Five repeats: Student's t on their means, both parts of the variance, and the limits of their rates."""
    requests, chunks, windows = five
    window = Window.union(windows)
    whole = summarise(requests, chunks, window)
    told = whole["intervals"]
    assert (told["by"], told["runs"]) == ("runs", 5)
    own = np.array(
        [summarise(requests, chunks, window, repeat=at)["metrics"]["ttft_ms"]["mean"] for at in range(5)]
    )
    low, high = whole["metrics"]["ttft_ms"]["ci95"]["mean"]
    part = 2.7764 * own.std(ddof=1) / np.sqrt(5) / own.mean() * np.sqrt(1 + 10 / told["effective_requests"])
    upper = own.mean() / (1 - part * (1 + part))
    assert (low, high) == pytest.approx((own.mean() / (1 + part), upper), rel=1e-4)
    parts = told["variance"]["ttft_ms"]
    assert parts["within"] > 0
    assert parts["between"] == pytest.approx(max(0.0, own.var(ddof=1) - parts["within"]))
    assert whole["metrics"]["itl_ms"]["ci95"]["mean"] is not None
    assert whole["rates"]["output_tokens_per_s"]["ci95"] is not None


@pytest.mark.parametrize(
    ("starts", "by", "runs"),
    [
        ([1.0] * 5, "runs", 5),
        ([1.0, 1.0, 2.0, 2.0, 3.0], "server starts", 3),
        ([1.0, 1.0, 1.0, 2.0, 2.0], "run", 5),
    ],
)
def test_several_starts_of_the_server_take_the_place_of_repeats(five, starts, by, runs):
    """Three starts are three values; two are too few to tell what a start brings."""
    requests, chunks, windows = five
    window = Window.union(windows)
    facts = {
        "server_starts": starts,
        "windows": [{"start_ns": each.start_ns, "end_ns": each.end_ns} for each in windows],
    }
    summary = build_summary(
        requests, chunks, window=window, objectives=(), load_facts=facts, parameters={"load": "poisson"}
    )
    told = summary["windows"]["whole"]["intervals"]
    assert (told["by"], told["runs"]) == (by, runs)


def test_requests_that_did_not_end_lengthen_the_latencies(one):
    """Of a run that is cut off, those under way lasted so long at least: estimates lie where the whole run's do."""
    window = Window(*one.manifest["load"]["window"].values())
    full = summarise(one.requests, one.chunks, window)["metrics"]["latency_ms"]
    sent, ended = one.requests["sent_ns"].to_numpy(), one.requests["end_ns"].to_numpy()
    late = sent[(sent > window.end_ns - 3e9) & (sent < window.end_ns)]
    cut_ns = max(late.tolist(), key=lambda at: ((sent <= at) & (ended > at)).sum()) + 1
    table = one.requests[one.requests["sent_ns"] <= cut_ns]
    lost = (table["end_ns"] > cut_ns).to_numpy()
    begun = (table["first_token_ns"] <= cut_ns).to_numpy()
    table = table.assign(
        outcome=np.where(lost, "incomplete", "ok"),
        end_ns=table["end_ns"].astype(float).where(~lost),
        first_token_ns=table["first_token_ns"].astype(float).where(begun),
        last_token_ns=table["last_token_ns"].clip(upper=cut_ns),
    )
    offsets = one.chunks.offsets[: len(table) + 1]
    events = {
        name: getattr(one.chunks, name)[: offsets[-1]] for name in ("ns", "loop_ns", "tokens", "shared")
    }
    chunks = Chunks(offsets=offsets, known=one.chunks.known[: len(table)], **events)
    entry = summarise(table, chunks, window)["metrics"]["latency_ms"]
    assert entry["unfinished"] == lost.sum() >= 4
    assert entry["count"] == (~lost & (table["phase"] == "window")).sum()
    assert entry["ci95"]["p50"][0] < full["p50"] < entry["ci95"]["p50"][1]
    assert entry["ci95"]["mean"][0] < full["mean"] < entry["ci95"]["mean"][1]
    assert "unfinished" not in full


def test_bins_hold_every_event_once(one):
    """The sums over bins of time are those of the samples; values above a bound likewise."""
    measured = measured_of(one)
    bins = TimeBins.of(measured.window)
    events = binned_events(measured, bins)
    for name in ("itl_ms", "chunk_gap_ms", "tokens_per_chunk"):
        sample, binned = measured.samples[name], events[name]
        assert binned.heft.sum() == sample.total
        assert binned.sums.sum() / binned.heft.sum() == pytest.approx(sample.mean())
        assert binned.above(sample.percentile(0)).sum() < sample.total
        assert binned.above(sample.percentile(100)).sum() == 0
        middle = sample.percentile(50)
        assert binned.above(middle).sum() <= sample.total / 2


def test_no_bin_reaches_across_a_hole(five):
    """A stamp between two repeats is in no bin; those of each repeat are in its own."""
    requests, chunks, windows = five
    measured = measure(requests, chunks, Window.union(windows))
    bins = TimeBins.of(measured.window)
    edges = np.cumsum([0, *bins.sizes])
    for at, part in enumerate(windows):
        inside = part.holds(bins.middles_ns)
        assert inside[edges[at] : edges[at + 1]].all()
        assert inside.sum() == bins.sizes[at]
        place = bins.place(chunks.ns[part.holds(chunks.ns)])
        assert place.min() >= edges[at]
        assert place.max() < edges[at + 1]
    assert bins.total(chunks.ns).sum() == measured.inside.sum()
