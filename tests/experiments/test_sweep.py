"""Sweeps of the embedded server."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from benchkit.errors import InvalidParameter, SweepFailed, Unreachable
from benchkit.experiments.settle import Settler
from benchkit.experiments.sources import load_points
from benchkit.experiments.sweep import SweepHooks, measure_sweep
from benchkit.experiments.sweep_outline import outline
from benchkit.experiments.sweep_points import first_points, points_between
from benchkit.experiments.watch import SATURATED, SaturationWatch
from benchkit.http import ControlClient
from benchkit.load.launch import Progress
from benchkit.parameters import RunParameters, SweepParameters, resolve
from benchkit.records import sweeps
from benchkit.serving import simulated

QUICK = {
    "preset": "simple",
    "server_args": {"max_num_seqs": 4},
    "warmup_s": 0.3,
    "duration_s": 1.0,
    "drain_s": 5.0,
    "input_tokens": 32,
    "output_tokens": 8,
    "settle_s": 5.0,
    "max_in_flight": 16,
}


def sweep_of(tmp_path, **values):
    """Parameters of a sweep that takes seconds."""
    return resolve({**QUICK, "out": str(tmp_path), **values}, SweepParameters)


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """An even sweep that was killed after two points: its folder, what it said then, and the finished one."""
    out = tmp_path_factory.mktemp("sweeps")
    arguments = [part for name, value in (QUICK | {"points": 2}).items() for part in ("-p", name, str(value))]
    command = [sys.executable, "-m", "benchkit", "sweep", *arguments, "--out", str(out)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    until = time.monotonic() + 240
    while time.monotonic() < until:
        found = sweeps.list_sweeps(out)
        before = sweeps.read(found[0]) if found else {"points": []}
        if sum(point["status"] == "complete" for point in before["points"]) >= 2:
            break
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    before = sweeps.read(found[0])
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    return found[0], before, sweeps.read(found[0]), done


def test_a_killed_sweep_goes_on_where_it_was(killed):
    """The same command measures what is left, in the same folder, and no complete point again."""
    folder, before, after, done = killed
    assert done.returncode == 0, done.stderr
    assert before["status"] == "running"
    assert after["status"] == "complete"
    assert [path.name for path in sweeps.list_sweeps(folder.parent)] == [folder.name]
    complete = [point for point in before["points"] if point["status"] == "complete"]
    assert len(complete) >= 2
    assert [point for point in after["points"] if point in complete] == complete
    assert all(point["status"] == "complete" for point in after["points"])


def test_the_rates_lie_evenly_between_the_two_measured_ones(killed):
    """After one at a time and full throughput come rates at equal distances, the last at full throughput."""
    folder, _, after, _ = killed
    points = {point.load: point for point in load_points([folder])}
    slow, fast = points["synchronous"].requests_per_s, points["throughput"].requests_per_s
    rates = sorted(point["rate"] for point in after["points"] if point["rate"])
    assert rates == pytest.approx([slow + (fast - slow) / 2, fast], rel=1e-3)


def test_points_are_runs_with_contents_of_their_own(killed):
    """Each point has a folder, its verdict and a seed that no other has; the server was idle before it."""
    folder, _, after, _ = killed
    assert len({point["seed"] for point in after["points"]}) == 4
    for point in after["points"]:
        manifest = json.loads((folder / point["folder"] / "manifest.json").read_text())
        assert manifest["status"] == "complete"
        assert manifest["parameters"]["seed"] == point["seed"]
        assert point["settled"]["empty"] is True
        assert point["cache_reset"] is True
    assert {point.summary["validity"]["verdict"] for point in load_points([folder])} <= {"valid", "suspect"}


def test_the_throughput_point_says_what_held_it_back(killed):
    """16 requests on 4 seats: the server was full."""
    (point,) = [point for point in killed[2]["points"] if point["load"] == "throughput"]
    assert point["bound"].startswith("the server: at most 4 ran at once")


def test_the_tables_are_printed(killed):
    """The command ends with the two tables, a line a point."""
    output = killed[3].stdout
    assert output.count("synchronous") >= 2
    assert "requests/s" in output


async def test_a_grid_restarts_the_server_for_each_cell(tmp_path):
    """Every combination has its own server, and the same requests meet each of them."""
    told = []
    folder = await measure_sweep(
        sweep_of(tmp_path, rates=[8.0], server_grid={"max_num_seqs": [2, 3]}),
        SweepHooks(on_point=told.append),
    )
    manifest = sweeps.read(folder)
    assert [cell["settings"] for cell in manifest["cells"]] == [{"max_num_seqs": 2}, {"max_num_seqs": 3}]
    first, second = load_points([folder])
    assert (first.cell, second.cell) == ({"max_num_seqs": 2}, {"max_num_seqs": 3})
    hashes = [sorted(point.records.requests.prompt_hash) for point in (first, second)]
    assert hashes[0] == hashes[1]
    urls = {point.records.manifest["server"]["url"] for point in (first, second)}
    assert len(urls) == 2
    assert [progress.points for progress in told] == [2, 2]
    assert told[1].left_s > 0


async def test_a_server_that_is_not_there_is_the_users_to_mend(tmp_path):
    """Nothing could be measured: the error is the target's own, and nothing is tried twice."""
    values = {name: QUICK[name] for name in ("warmup_s", "duration_s", "settle_s")}
    asked = resolve(
        {**values, "url": "http://127.0.0.1:9", "out": str(tmp_path), "rates": [1.0]}, SweepParameters
    )
    with pytest.raises(Unreachable):
        await measure_sweep(asked)


async def test_a_sweep_of_other_parameters_is_not_taken_up(tmp_path):
    """A folder that is named must have been measured with these parameters."""
    other = sweeps.create(tmp_path, "", {}, "f" * 40)
    with pytest.raises(InvalidParameter, match="other parameters"):
        await measure_sweep(sweep_of(tmp_path, rates=[1.0], resume=str(other)))


def test_order_is_drawn_from_the_seed():
    """Shuffled points are the same set, in an order that the seed decides alone; unshuffled ones rise."""
    loads = {"rates": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]}
    orders = [
        [point.rate for point in first_points(resolve({**loads, "seed": seed}, SweepParameters), {}, 0)]
        for seed in (1, 1, 2)
    ]
    assert orders[0] == orders[1] != orders[2]
    assert sorted(orders[0]) == sorted(orders[2]) == loads["rates"]
    plain = first_points(resolve({**loads, "shuffle": False}, SweepParameters), {}, 0)
    assert [point.rate for point in plain] == loads["rates"]


def test_the_articles_rates_come_from_its_two_ends():
    """0.47 and 5.37 requests/s give the article's eight rates."""
    asked = resolve({"shuffle": False, "arrivals": "constant"}, SweepParameters)
    rates = [point.rate for point in points_between(asked, {}, 0, 0.47, 5.37)]
    assert rates == pytest.approx([1.09, 1.70, 2.31, 2.92, 3.53, 4.14, 4.76, 5.37], abs=0.012)


def test_a_window_without_an_answer_gives_no_rates():
    """The error says which point was empty and what to change."""
    with pytest.raises(SweepFailed, match=r"synchronous point.*duration_s"):
        points_between(resolve({}, SweepParameters), {}, 0, 0.0, 3.0)


def test_what_it_takes_is_said_before():
    """Points, time and cost, and the rate below which a p99 is not resolved."""
    asked = {"slo": "p99 ttft < 80ms", "price_per_hour": 36.0, "server_grid": {"max_num_seqs": [1, 2]}}
    before = outline(resolve(asked, SweepParameters))
    assert (before.points, before.cells) == (20, 2)
    assert before.seconds == pytest.approx(20 * 37 + 2)
    assert before.cost == pytest.approx(before.seconds / 100)
    assert "12.3 requests/s" in before.notes[0]
    assert before.most_seconds > before.seconds
    text = before.text()
    assert "on each of 2 settings" in text
    assert "cost:" in text


class _Launcher:
    """Remembers why it was stopped."""

    reason = ""

    def stop(self, reason):
        self.reason = reason


def _watched(flight, ttft_ms, seconds=30.0):
    """Why a load with this course is stopped."""
    watch, launcher = SaturationWatch(1.0), _Launcher()
    watch.start(launcher)
    for at in range(int(2 * seconds)):
        at_s = at / 2
        watch.progress(Progress(elapsed_s=at_s, in_flight=flight(at_s), ttft_ms=ttft_ms(at_s)))
    return launcher.reason


def test_a_load_that_piles_up_is_stopped():
    """In-flight requests and TTFT that both rise steadily end a load."""
    assert _watched(lambda s: int(10 * s), lambda s: 50 + 100 * s) == SATURATED


@pytest.mark.parametrize(
    ("flight", "ttft_ms"),
    [
        (lambda s: 20 + int(5 * (s % 3)), lambda s: 50 + 20 * (s % 2)),
        (lambda s: int(10 * s), lambda s: 50.0),
        (lambda s: min(40, int(10 * s)), lambda s: min(400.0, 100 * s)),
    ],
    ids=["noise", "only in flight", "ramp up, then level"],
)
def test_a_load_that_does_not_pile_up_goes_on(flight, ttft_ms):
    """Noise, a queue whose first tokens come as soon as ever, and a ramp that levels off do not end a load."""
    assert _watched(flight, ttft_ms) == ""


def _long_answer(url):
    """One answer of 60 tokens."""
    with ControlClient(url) as client:
        body = {"model": client.models()[0].id, "prompt": "a b c", "max_tokens": 60, "ignore_eos": True}
        assert client.complete(body, "completions").status == 200


async def test_settling_waits_for_the_servers_own_queue():
    """While a long answer runs the server is not empty; afterwards it is, at once."""
    with simulated.start(preset="fixed", server_args={"gap_ms": 20}) as server:
        settler = Settler(server.url, RunParameters(url=server.url), "benchkit-embedded")
        try:
            await settler.learn()
            at_once = await settler.settle(5.0)
            busy = asyncio.create_task(asyncio.to_thread(_long_answer, server.url))
            await asyncio.sleep(0.2)
            too_short = await settler.settle(0.3)
            waited = await settler.settle(10.0)
            await busy
        finally:
            settler.close()
    assert at_once.empty
    assert at_once.by == "metrics"
    assert not too_short.empty
    assert waited.empty
    assert waited.seconds > 0.3


async def test_settling_compares_with_an_idle_server_where_it_tells_no_queue(scripted):
    """Without /metrics a probe that is as quick as on the idle server finds it empty."""
    settler = Settler(scripted.url, RunParameters(url=scripted.url), "tiny")
    try:
        await settler.learn()
        found = await settler.settle(1.0)
    finally:
        settler.close()
    assert found.by == "probe"
    assert found.empty


@pytest.mark.slow
async def test_a_search_measures_loads_on_both_sides_of_its_answer(tmp_path):
    """An adaptive sweep starts from what the server takes at most, and ends with the load that meets the objective."""
    told = []
    asked = sweep_of(
        tmp_path, sweep="adaptive", slo="p90 ttft < 60ms", budget_s=26.0, input_tokens=16, output_tokens=4,
        output_tokens_spread=0.5, server_args={"max_num_seqs": 1},
    )  # fmt: skip
    folder = await measure_sweep(asked, SweepHooks(on_stage=told.append))
    manifest = sweeps.read(folder)
    assert manifest["status"] == "complete"
    assert [point["load"] for point in manifest["points"][:2]] == ["synchronous", "throughput"]
    rates = [point["rate"] for point in manifest["points"][2:]]
    low, high = manifest["search"]["bracket"]
    assert min(rates) <= (low or min(rates)) <= (high or max(rates)) <= max(rates)
    assert manifest["search"]["points"] == len(rates) >= 3
    assert "server time" in manifest["search"]["text"]
    assert any("searching; it takes" in text for text in told)
