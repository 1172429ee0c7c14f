"""Each reason of a verdict, provoked for real: something goes wrong, and the run says what."""

import contextlib
import functools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import psutil
import pytest
from proxies import proxy_before

import benchkit
from benchkit.analysis.thresholds import BY_NAME
from benchkit.experiments.recording import Hooks
from benchkit.records import processes
from benchkit.serving import simulated
from benchkit.telemetry import prometheus

QUICK = {
    "warmup_s": 0.2,
    "duration_s": 0.8,
    "drain_s": 5,
    "input_tokens": 32,
    "output_tokens": 16,
}
NOT_HERE = {
    "steal": "takes another guest of the same host: tests/analysis/test_validity.py gives readings of it"
}
"""What cannot be provoked on an ordinary machine, and where it is tested instead."""

_BUSY = """
import os, sys, time
os.sched_setaffinity(0, [int(sys.argv[1])])
end = time.monotonic() + 20
while time.monotonic() < end:
    rest = time.monotonic() + 0.001
    while time.monotonic() < rest:
        pass
    time.sleep(0.0002)
"""

provoked: set[str] = set()


def provokes(*names):
    """Marks a test that gives a run whose verdict must have these reasons."""
    provoked.update(names)

    def decorate(scene):
        @functools.wraps(scene)
        def test(*arguments, **fixtures):
            run = scene(*arguments, **fixtures)
            reasons = {reason["name"]: reason for reason in run.summary["validity"]["reasons"]}
            assert set(names) - set(reasons) == set(), run.summary["validity"]
            for name in names:
                assert all(reasons[name][key] for key in ("what", "reason", "remedy"))

        return test

    return decorate


@pytest.fixture
def measure(tmp_path):
    """Gives a run of about a second; ``hooks`` are those of ``benchkit.run``."""

    def run(url, **values):
        hooks = values.pop("hooks", None) or Hooks()
        load = {} if "load" in values else {"load": "concurrent", "concurrency": 4}
        return benchkit.run(hooks=hooks, url=url, out=str(tmp_path / "out"), **{**QUICK, **load, **values})

    return run


@pytest.fixture
def proxy(embedded):
    """A proxy before the embedded server."""
    with proxy_before(embedded.url) as started:
        yield started


@pytest.fixture
def often_sampled(monkeypatch):
    """Lets a window of a second hold as many pages of ``/metrics`` as one of a quarter of a minute."""
    often = functools.partial(prometheus.metrics_sampler, interval_s=0.1)
    monkeypatch.setattr(prometheus, "metrics_sampler", often)


@pytest.fixture
def meanwhile(tmp_path):
    """Gives hooks that call a function with the run's folder, in a thread, once load is being sent."""
    threads: list[threading.Thread] = []

    def hooks(action: Callable[[Path], None]) -> Hooks:
        def act() -> None:
            deadline = time.monotonic() + 30
            while time.monotonic() < deadline:
                tapes = list((tmp_path / "out").glob("*/tape/r0/w0-*.tape"))
                if tapes and tapes[0].stat().st_size > 3_000:
                    action(tapes[0].parents[2])
                    return
                time.sleep(0.01)

        threads.append(threading.Thread(target=act))
        return Hooks(on_start=lambda _: threads[-1].start())

    yield hooks
    for thread in threads:
        if thread.ident is not None:
            thread.join()


@pytest.fixture
def in_worker(tmp_path, monkeypatch):
    """Has every load process run some code before anything else, as a site's own set-up would."""

    def patch(code: str) -> None:
        folder = tmp_path / "site"
        folder.mkdir()
        lines = [
            "import sys",
            "if 'benchkit.load.worker' in ' '.join(sys.orig_argv):",
            *("    " + line for line in code.strip().splitlines()),
        ]
        (folder / "sitecustomize.py").write_text("\n".join(lines) + "\n")
        monkeypatch.setenv("PYTHONPATH", str(folder))

    return patch


def worker_of(folder: Path) -> psutil.Process:
    """The load process of a run."""
    (pid,) = [process.pid for process in processes.running(folder) if process.role == "worker 0"]
    return psutil.Process(pid)


def favour(folder: Path) -> None:
    """Lets the load process have its core, whatever else this machine does, where a test may ask for that."""
    worker = worker_of(folder)
    with contextlib.suppress(OSError, psutil.AccessDenied):
        worker.nice(-15)
        # Between sessions it is the session's niceness that counts, where there is such a thing.
        Path(f"/proc/{worker.pid}/autogroup").write_text("-15")


@contextlib.contextmanager
def busy_core(core: int):
    """A process that keeps one core busy, for at most 20 s.

    It rests a little after each millisecond: who wakes up is let in at once, and takes the core from the other.
    In a session of its own, as other users' programs are: between sessions Linux shares evenly.
    """
    command = [sys.executable, "-c", _BUSY, str(core)]
    process = subprocess.Popen(command, start_new_session=True)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def test_a_run_at_peace_has_no_reason_that_is_not_the_machines(embedded, measure):
    """Nothing was provoked: only what a busy machine does to a client may be said against it."""
    run = measure(embedded.url, load="poisson", rate=40, duration_s=1.5)
    machine = {
        *(
            "lateness_p99",
            "lateness_max",
            "pickup_lag_p99",
            "pickup_lag_max",
            "loop_gap_max",
            "shared_stamps",
        ),
        *("blurred_stamps", "context_switches", "run_queue", "worker_cpu", "steal"),
    }
    found = {reason["name"]: reason["value"] for reason in run.summary["validity"]["reasons"]}
    assert {name: value for name, value in found.items() if name not in machine} == {}
    unasked = {"lockstep", "repeats_disagree", "drift", "in_flight_gap"}
    assert set(BY_NAME) - set(run.summary["validity"]["checked"]) <= unasked | {"steal", "prefix_hits"}


@provokes("no_ok_request", "failures")
def test_a_server_that_dies(measure, meanwhile):
    """Killed in the warm-up: every request of the window is refused."""
    with simulated.start(server_args={"ttft_ms": 20, "gap_ms": 2}) as server:
        hooks = meanwhile(lambda _: os.kill(server.pid, signal.SIGKILL))
        return measure(server.url, hooks=hooks, load="constant", rate=60, warmup_s=0.8, max_error_rate=1)


@provokes("client_broke")
def test_a_load_process_that_dies(embedded, measure, meanwhile):
    """kill -9 of the worker: what there is is kept, and called what it is."""
    return measure(embedded.url, hooks=meanwhile(lambda folder: worker_of(folder).kill()), duration_s=20)


@provokes("records_lost")
def test_a_disk_that_takes_no_more(embedded, measure, in_worker):
    """Not even the last bytes fit, also when the run has given its reserve."""
    in_worker("import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))")
    return measure(embedded.url, duration_s=20)


@provokes("failures", "stopped_early")
def test_connections_that_are_cut(proxy, measure):
    """Every third answer breaks off in the middle; the load stops when there are too many such."""
    hooks = Hooks(on_preflight=lambda _: proxy.meddle(cut_every=3))
    return measure(proxy.url, hooks=hooks, warmup_s=0, duration_s=5, max_error_rate=0.2)


@provokes("shed")
def test_a_server_that_refuses(measure):
    """One runs, one may wait, the others are answered 429."""
    with simulated.start(server_args={"max_num_seqs": 1, "max_queue": 1, "gap_ms": 2}) as server:
        return measure(server.url)


@provokes("incomplete", "short_window")
def test_a_window_shorter_than_its_requests(embedded, measure):
    """Half a second for requests of a third of a second, and no time to end them in."""
    return measure(embedded.url, output_tokens=150, warmup_s=0, duration_s=0.5, drain_s=0)


@provokes("lockstep")
def test_streams_that_begin_together(embedded, measure):
    """Without a warm-up all streams start at once, and stay so."""
    return measure(embedded.url, warmup_s=0, concurrency=8)


@provokes("throttled")
def test_arrivals_that_wait_for_the_client(embedded, measure):
    """An open loop with room for one request at a time."""
    return measure(embedded.url, load="constant", rate=40, max_in_flight=1)


@provokes("drift")
def test_a_server_that_slows_down(proxy, measure):
    """Each request is held a little longer than the one before, give or take a chance."""
    hooks = Hooks(on_preflight=lambda _: proxy.meddle(hold_ms=60, slope_ms_per_s=50, wobble_ms=40))
    return measure(proxy.url, hooks=hooks, concurrency=24, output_tokens=1, duration_s=3.5)


@provokes("repeats_disagree")
def test_a_machine_that_is_slower_in_one_repeat(proxy, measure):
    """In the second of two repeats requests are held for twice as long, give or take a chance."""
    loads: list[object] = []

    def began(load: object) -> None:
        loads.append(load)
        proxy.meddle(hold_ms=150 * len(loads), wobble_ms=100)

    hooks = Hooks(on_start=began)
    return measure(proxy.url, hooks=hooks, concurrency=48, output_tokens=1, repeats=2, duration_s=2)


@provokes("in_flight_gap")
def test_a_queue_that_neither_side_sees(proxy, measure, often_sampled):
    """Requests stand before the server for longer than they are in it."""
    proxy.meddle(hold_ms=200)
    return measure(proxy.url, output_tokens=30, warmup_s=0.4, duration_s=2)


@provokes("requests_gap", "tokens_gap")
def test_a_server_that_serves_others_too(embedded, measure, meanwhile):
    """Somebody else sends to it while it is measured."""

    def ask(_: Path) -> None:
        body = {"prompt": "a b c", "max_tokens": 60, "ignore_eos": True}
        for _ in range(3):
            httpx.post(f"{embedded.url}/v1/completions", json=body, timeout=20).raise_for_status()

    return measure(embedded.url, hooks=meanwhile(ask), duration_s=1.2)


@provokes("prefix_hits")
def test_a_cache_that_knows_the_prompts(measure, often_sampled):
    """The same seed twice on one server: the second time its prompts are in the prefix cache."""
    with simulated.start(preset="simple", server_args={"step_base_us": 2_000, "kv_blocks": 8_192}) as server:
        measure(server.url, input_tokens=256, output_tokens=8)
        return measure(server.url, input_tokens=256, output_tokens=8)


@provokes("buffered", "shared_stamps")
def test_a_proxy_that_buffers(proxy, measure):
    """Answers arrive when they are whole."""
    proxy.meddle(buffer=True)
    return measure(proxy.url)


@provokes(
    "lateness_p99", "lateness_max", "pickup_lag_p99", "pickup_lag_max", "loop_gap_max", "blurred_stamps"
)
def test_a_client_that_is_stopped(embedded, measure, meanwhile):
    """SIGSTOP of 300 ms, again and again: no stamp shows it by itself."""

    def stop(folder: Path) -> None:
        worker = worker_of(folder)
        with contextlib.suppress(psutil.NoSuchProcess):
            for pause_s in (0.3, 0.3, *[0.02] * 20):
                worker.suspend()
                time.sleep(pause_s)
                worker.resume()
                time.sleep(0.02)

    return measure(
        embedded.url,
        hooks=meanwhile(stop),
        load="constant",
        rate=40,
        output_tokens=60,
        warmup_s=0.1,
        duration_s=1.6,
    )


@provokes("run_queue", "context_switches")
@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")
def test_a_client_that_shares_its_core(embedded, measure, meanwhile, monkeypatch):
    """A busy process that rests now and then is pinned to the core of a load process that has much to do.

    As where nobody permits the load process to go first.
    """
    monkeypatch.setenv("BENCHKIT_FALLBACKS", "realtime")
    core = min(os.sched_getaffinity(0))
    hooks = meanwhile(lambda folder: worker_of(folder).cpu_affinity([core]))
    with busy_core(core):
        return measure(embedded.url, hooks=hooks, transport="httpx", concurrency=32, output_tokens=100)


@provokes("worker_cpu", "httpx_transport")
def test_a_client_that_is_overloaded(embedded, measure, meanwhile):
    """More streams than the stock transport can read on one core."""
    return measure(
        embedded.url,
        hooks=meanwhile(favour),
        transport="httpx",
        concurrency=64,
        output_tokens=200,
        warmup_s=0.5,
        duration_s=1.5,
    )


@provokes("no_kernel_times")
def test_a_platform_without_kernel_times(embedded, measure, monkeypatch):
    """As on any but Linux: the loop's times are all there is."""
    monkeypatch.setenv("BENCHKIT_FALLBACKS", "kernel_times")
    return measure(embedded.url)


@provokes("clock_steps")
def test_a_wall_clock_that_is_set(embedded, measure, in_worker):
    """For the load process the wall clock jumps by 20 ms in mid-run; the kernel's own stays."""
    in_worker(
        "import time\n"
        "true, begun = time.time_ns, time.monotonic()\n"
        "time.time_ns = lambda: true() + (time.monotonic() - begun > 1.2) * 20_000_000"
    )
    return measure(embedded.url, duration_s=2)


@provokes("gc_ran")
def test_garbage_that_is_collected_in_the_window(embedded, measure, in_worker):
    """Something on this machine keeps the collector on."""
    in_worker("import gc; gc.set_threshold(20); gc.disable = gc.enable")
    return measure(embedded.url)


@provokes("limits_hit")
def test_too_few_open_files(embedded, measure, in_worker):
    """The load process has as many files open as it may before it can connect all its streams."""
    in_worker(
        "import os, resource\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200))\n"
        "held = [os.open('/dev/null', os.O_RDONLY) for _ in range(160)]"
    )
    return measure(embedded.url, concurrency=40, output_tokens=100)


@provokes("tokens_unknown")
def test_a_server_that_counts_only_at_the_end(embedded, measure):
    """Several tokens an event, and ``usage`` in the last one alone."""
    return measure(embedded.url, headers={"X-Benchkit-Fault": "no_continuous_usage,merge:4"})


@provokes("tokens_assumed")
def test_a_server_that_never_counts(embedded, measure):
    """No ``usage`` at all."""
    return measure(embedded.url, headers={"X-Benchkit-Fault": "no_usage"})


@provokes("usage_gap")
def test_a_server_whose_counts_contradict(scripted, measure):
    """The last ``usage`` counts tokens that no event brought."""

    def complete(body):
        status, events = scripted.answer(body)
        for event in events[-1:]:
            event["usage"]["completion_tokens"] += 2
        return status, events

    scripted.complete = complete
    return measure(scripted.url, ignore_eos=False)


def test_every_threshold_is_provoked():
    """No check is only believed to work: each has its test here, or a reason why it cannot have one."""
    assert provoked | set(NOT_HERE) == set(BY_NAME)
    assert not provoked & set(NOT_HERE)
