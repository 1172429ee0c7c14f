"""The engine keeps its promises about when requests leave, and about how a load ends."""

import asyncio
import signal
import time

import numpy as np
import pytest
from loads import load, load_async, spec_for

from benchkit.errors import OutOfDescriptors, Unreachable, WorkerDied
from benchkit.plan.plan import Plan
from benchkit.plan.spec import PlanSpec
from benchkit.records.kinds import Phase

pytestmark = pytest.mark.filterwarnings("error")


def test_a_closed_loop_keeps_its_streams_busy(embedded, tmp_path):
    """As many requests as streams are under way, each following on the one before within a millisecond or two."""
    done = load(tmp_path, embedded.url, load="concurrent", concurrency=4, duration_s=1.0)

    window = done.window.sort_values("scheduled_ns")
    assert set(done.requests.outcome) == {"ok"}
    latency_s = float(((window.end_ns - window.sent_ns) / 1e9).mean())
    assert len(window) == pytest.approx(4 * 1.0 / latency_s, rel=0.25)
    events = sorted([(t, 1) for t in window.sent_ns] + [(t, -1) for t in window.end_ns])
    assert max(np.cumsum([step for _, step in events])) <= 4


def test_streams_start_spread_over_the_warm_up(embedded, tmp_path):
    """A closed loop's first requests are due at equal distances in the warm-up, which is not drained."""
    done = load(
        tmp_path,
        embedded.url,
        load="concurrent",
        concurrency=5,
        warmup_s=1.0,
        duration_s=0.5,
        output_tokens=600,
    )

    first = done.requests.sort_values("scheduled_ns").head(5)
    assert list(first.phase) == ["warmup"] * 5
    assert (first.scheduled_ns / 1e9).tolist() == pytest.approx([0.0, 0.2, 0.4, 0.6, 0.8], abs=0.05)
    window_ns = done.result.window_start_ns
    assert ((done.requests.sent_ns < window_ns) & (done.requests.end_ns > window_ns)).any()


def test_an_open_loop_sends_what_the_plan_says_when_it_says(embedded, tmp_path):
    """Every arrival of the plan is there, scheduled at its time; none is skipped, merged or moved."""
    done = load(tmp_path, embedded.url, load="poisson", rate=100.0, warmup_s=0.5, duration_s=1.5)

    plan = Plan(PlanSpec.from_json(done.spec.plan))
    for phase, start_ns in ((Phase.WARMUP, 0), (Phase.WINDOW, done.result.window_start_ns)):
        rows = done.requests[done.requests.phase == phase].sort_values("index")
        assert (rows.scheduled_ns.to_numpy() - start_ns).tolist() == plan.due_ns(phase).tolist()
    connecting = (done.requests.connected_ns - done.requests.connect_start_ns).fillna(0)
    lateness_ms = (done.requests.sent_ns - done.requests.scheduled_ns - connecting) / 1e6
    assert float(lateness_ms.median()) < 5.0


def test_an_open_loop_waits_for_nobody(embedded, tmp_path):
    """Arrivals go on while answers take longer than the gaps between them."""
    done = load(tmp_path, embedded.url, load="constant", rate=50.0, duration_s=1.0, output_tokens=400)

    assert len(done.window) == 50
    assert int((done.window.sent_ns < done.window.end_ns.min()).sum()) >= 35


def test_max_in_flight_holds_back_and_says_how_long(embedded, tmp_path):
    """Requests over the cap wait; the wait is a column of its own and none of them is lost."""
    done = load(
        tmp_path, embedded.url, load="constant", rate=100.0, duration_s=0.5, max_in_flight=2, drain_s=10.0
    )

    window = done.window.sort_values("sent_ns")
    assert len(window) == 50
    events = sorted([(t, 1) for t in window.sent_ns] + [(t, -1) for t in window.end_ns])
    assert max(np.cumsum([step for _, step in events])) <= 2
    assert (window.waited_ns > 0).sum() > 30
    own = (
        window.sent_ns
        - window.scheduled_ns
        - (window.connected_ns - window.connect_start_ns).fillna(0)
        - window.waited_ns
    )
    assert float((own / 1e6).max()) < 100


def test_what_never_left_under_the_cap_is_on_the_books(embedded, tmp_path):
    """When the drain ends, held arrivals are incomplete requests without a sending time, not nothing."""
    done = load(
        tmp_path,
        embedded.url,
        load="constant",
        rate=100.0,
        duration_s=0.5,
        max_in_flight=1,
        drain_s=0.2,
        output_tokens=100,
    )

    held = done.window[done.window.sent_ns.isna()]
    assert len(done.window) == 50
    assert len(held) > 30
    assert set(held.outcome) == {"incomplete"}


def test_requests_limit_ends_the_window_with_the_last_of_them(embedded, tmp_path):
    """`requests` at once, no time limit: the window lasts until the last answer."""
    done = load(tmp_path, embedded.url, load="throughput", requests=30, duration_s=0.0)

    assert sorted(done.window["index"]) == list(range(30))
    assert done.result.window_end_ns == pytest.approx(int(done.window.end_ns.max()), abs=50_000_000)
    assert float((done.window.sent_ns.max() - done.window.sent_ns.min()) / 1e9) < 0.5


def test_the_drain_leaves_long_answers_incomplete(embedded, tmp_path):
    """A request that outlives the drain is right-censored: its tokens count, and it has not failed."""
    done = load(
        tmp_path,
        embedded.url,
        load="concurrent",
        concurrency=2,
        duration_s=0.5,
        drain_s=0.3,
        output_tokens=2000,
    )

    assert set(done.requests.outcome) == {"incomplete"}
    assert (done.requests.chunk_ns.map(len) > 50).all()
    assert done.requests.first_token_ns.notna().all()


def test_several_workers_send_one_plan(embedded, tmp_path):
    """Three processes send each arrival once, and their records are one table."""
    one = (
        load(tmp_path / "one", embedded.url, load="poisson", rate=60.0)
        if (tmp_path / "one").mkdir() is None
        else None
    )
    (tmp_path / "three").mkdir()
    three = load(tmp_path / "three", embedded.url, load="poisson", rate=60.0, workers=3)

    columns = ["index", "scheduled_ns", "prompt_hash"]
    key = lambda done: done.window.sort_values("index")[columns].values.tolist()  # noqa: E731
    assert key(three) == key(one)
    assert set(three.requests.worker) == {0, 1, 2}
    assert len(three.result.workers) == 3


def test_no_two_prompts_are_alike(embedded, tmp_path):
    """Each request, warm-up included, has contents of its own: no prefix cache helps."""
    done = load(tmp_path, embedded.url, load="concurrent", concurrency=4, warmup_s=0.3, duration_s=0.5)

    assert set(done.requests.phase) == {"warmup", "window"}
    assert done.requests.prompt_hash.is_unique


def test_failures_stop_a_hopeless_run(tmp_path):
    """Against a port where nobody listens the run stops at `max_error_rate`, every attempt named."""
    began = time.monotonic()
    done = load(tmp_path, "http://127.0.0.1:9", model="m", load="constant", rate=100.0, duration_s=30.0)

    assert time.monotonic() - began < 15
    assert done.result.stopped_by == "max_error_rate"
    assert set(done.requests.error_kind) == {"refused"}
    assert set(done.requests.outcome) <= {"failed", "interrupted"}
    assert len(done.requests) >= 20


def test_errors_inside_streams_count_for_the_limit(embedded, tmp_path):
    """Errors that only the content shows stop a run as well: transcription reports them while it goes on."""
    done = load(
        tmp_path,
        embedded.url,
        load="concurrent",
        concurrency=4,
        duration_s=30.0,
        drain_s=1.0,
        extra_body={"benchkit_fault": "error_event"},
    )

    assert done.result.stopped_by == "max_error_rate"
    assert "error_event" in set(done.requests.error_kind)


def test_shed_requests_are_not_failures(embedded, tmp_path):
    """429 is the server's protection: counted apart, and a closed loop pauses instead of storming."""
    done = load(
        tmp_path,
        embedded.url,
        load="concurrent",
        concurrency=2,
        duration_s=1.0,
        extra_body={"benchkit_fault": "429"},
    )

    assert set(done.requests.outcome) == {"shed"}
    assert len(done.requests) < 60
    assert done.result.stopped_by is None


def test_timeout_is_a_failure_of_its_own(embedded, tmp_path):
    """A request that takes longer than `timeout_s` fails by name and keeps its tokens."""
    done = load(
        tmp_path,
        embedded.url,
        load="concurrent",
        concurrency=2,
        duration_s=0.5,
        timeout_s=0.4,
        output_tokens=2000,
        max_error_rate=1.0,
    )

    assert "timeout" in set(done.requests.error_kind.dropna())
    timed_out = done.requests[done.requests.error_kind == "timeout"]
    assert (timed_out.chunk_ns.map(len) > 50).all()


def test_stop_interrupts_at_once_and_keeps_everything(embedded, tmp_path):
    """`stop` ends a long run within a second; requests under way are interrupted with their tokens."""

    async def stop_soon(launcher):
        await asyncio.sleep(1.5)
        launcher.stop("interrupt")

    spec = spec_for(embedded.url, load="concurrent", concurrency=3, duration_s=60.0, output_tokens=4000)
    began = time.monotonic()
    done = asyncio.run(load_async(tmp_path, spec, during=stop_soon))

    assert time.monotonic() - began < 6
    assert done.result.stopped_by == "interrupt"
    assert list(done.requests.outcome) == ["interrupted"] * 3
    assert (done.requests.chunk_ns.map(len) > 100).all()
    assert 0.5e9 < done.result.window_end_ns < 3e9


def test_progress_tells_what_happens(embedded, tmp_path):
    """Progress rises, and its tokens are those on the wire."""
    seen = []
    spec = spec_for(embedded.url, load="concurrent", concurrency=4, duration_s=2.0)
    done = asyncio.run(load_async(tmp_path, spec, on_progress=lambda p: seen.append((p.sent, p.tokens))))

    assert len(seen) >= 2
    assert seen == sorted(seen)
    assert 0 < seen[-1][1] <= done.requests.output_tokens.sum()


def test_headers_travel_without_touching_the_disk(embedded, tmp_path):
    """A secret header is sent, and no file of the run holds it."""
    spec = spec_for(embedded.url, load="concurrent", concurrency=1, duration_s=0.3)
    asyncio.run(load_async(tmp_path, spec, headers={"X-Secret": "hunter2-in-a-header"}))

    for file in (path for path in tmp_path.rglob("*") if path.is_file()):
        assert b"hunter2-in-a-header" not in file.read_bytes(), file


def test_too_many_streams_are_refused_before_any_load(embedded, tmp_path):
    """More streams than the hard limit of open files allows: an error with the remedy, and not one request."""
    import resource

    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    spec = spec_for(embedded.url, load="concurrent", concurrency=min(hard + 10, 999_999))
    with pytest.raises(OutOfDescriptors, match="ulimit"):
        asyncio.run(load_async(tmp_path, spec))


def test_an_unknown_host_is_named(tmp_path):
    """A host name without an address is an error that names it, before any load."""
    with pytest.raises(Unreachable, match=r"no-such-host\.invalid"):
        load(tmp_path, "http://no-such-host.invalid:1", model="m")


def test_fallbacks_work_and_are_named(embedded, tmp_path, monkeypatch):
    """Without timerfd, kernel times, epoll and uvloop a load runs all the same, and its facts say so."""
    monkeypatch.setenv("BENCHKIT_FALLBACKS", "timerfd,kernel_times,epoll,uvloop")
    done = load(tmp_path, embedded.url, load="poisson", rate=50.0)

    facts = done.result.workers[0]
    assert set(done.requests.outcome) == {"ok"}
    assert facts["fallbacks"] == ["epoll", "kernel_times", "timerfd", "uvloop"]
    assert (facts["loop"], facts["timer"], facts["kernel_times"]) == ("asyncio", "loop", False)
    assert all(
        (a == b).all() for a, b in zip(done.requests.chunk_ns, done.requests.chunk_loop_ns, strict=True)
    )


@pytest.mark.parametrize("only", ["timerfd", "kernel_times", "epoll", "uvloop"])
def test_each_fallback_works_alone(embedded, tmp_path, monkeypatch, only):
    """Each thing that only Linux has can be missing alone."""
    monkeypatch.setenv("BENCHKIT_FALLBACKS", only)
    done = load(tmp_path, embedded.url, load="poisson", rate=50.0, duration_s=0.4)

    assert set(done.requests.outcome) == {"ok"}
    assert done.result.workers[0]["fallbacks"] == [only]


def test_the_stock_transport_is_there(embedded, tmp_path):
    """`transport: httpx` measures too, named in the facts, without kernel times."""
    done = load(tmp_path, embedded.url, load="concurrent", concurrency=3, duration_s=0.5, transport="httpx")

    assert set(done.requests.outcome) == {"ok"}
    assert done.result.workers[0]["transport"] == "httpx"
    assert done.result.workers[0]["kernel_times"] is False
    assert done.requests.sent_ns.notna().all()


def test_fresh_connections_are_fresh(embedded, tmp_path):
    """With `connections: fresh` every request has a connection of its own, and its time to connect."""
    done = load(tmp_path, embedded.url, load="concurrent", concurrency=2, duration_s=0.4, connections="fresh")

    assert set(done.requests.outcome) == {"ok"}
    assert done.requests.connection.is_unique
    assert done.requests.connected_ns.notna().all()


def test_a_worker_that_cannot_start_is_an_error(tmp_path, embedded, monkeypatch):
    """A load process that dies at its start is named with the last line of its log."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "httptools.py").write_text("raise ImportError('no httptools today')")
    with pytest.raises(WorkerDied, match="no httptools today"):
        load(tmp_path, embedded.url)


def test_limits_of_this_machine_are_told(embedded, tmp_path):
    """When open files run out in mid-run, requests fail as the client's own, and the facts say which limit."""
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "if 'benchkit.load.worker' in ' '.join(sys.orig_argv):\n"
        "    import benchkit.load.limits as limits, resource\n"
        "    files = resource.RLIMIT_NOFILE\n"
        "    limits.raise_descriptor_limit = lambda needed: resource.setrlimit(files, (40, 40)) or 40\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(tmp_path))
        done = load(
            tmp_path, embedded.url, load="concurrent", concurrency=60, output_tokens=300, max_error_rate=1.0
        )

    assert "client" in set(done.requests.error_kind.dropna())
    assert any("open files" in limit for limit in done.result.workers[0]["limits_hit"])


def test_more_connections_than_ports_are_refused(monkeypatch, tmp_path):
    """A load that needs more local ports than there are is refused with the remedy."""
    from benchkit.load import limits

    (tmp_path / "range").write_text("1000\t1999\n")
    monkeypatch.setattr(limits, "_PORT_RANGE", tmp_path / "range")
    assert limits.check_ports(1000) == 1000
    with pytest.raises(OutOfDescriptors, match="ip_local_port_range"):
        limits.check_ports(1001)
    monkeypatch.setattr(limits, "_PORT_RANGE", tmp_path / "nothing")
    assert limits.check_ports(1001) is None


async def until(holds):
    """Waits for a condition."""
    for _ in range(400):
        if holds():
            return
        await asyncio.sleep(0.05)
    raise AssertionError("it never came true")


def test_a_starved_transcriber_is_replaced_when_the_load_is_over(embedded, tmp_path):
    """A transcriber that gets no processor time holds a finished load up for a second or two, and loses nothing."""

    async def starve(launcher):
        await until(lambda: launcher.progress.sent > 0)
        launcher._members[0].transcriber.send_signal(signal.SIGSTOP)

    spec = spec_for(embedded.url, load="concurrent", concurrency=3, duration_s=2.0)
    began = time.monotonic()
    done = asyncio.run(load_async(tmp_path, spec, during=starve))

    assert time.monotonic() - began < 12
    assert set(done.requests.outcome) == {"ok"}
    assert sorted(done.requests["index"]) == list(range(len(done.requests)))
    assert done.result.stopped_by is None


def test_a_fault_of_our_own_ends_the_load(embedded, tmp_path, monkeypatch):
    """An exception in a callback of the worker stops the load by name; what was taped is kept."""
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "if 'benchkit.load.worker' in ' '.join(sys.orig_argv):\n"
        "    from benchkit.load.engine import Engine\n"
        "    done = Engine._done\n"
        "    def broken(self, exchange, status, failure):\n"
        "        if exchange.key == 10:\n"
        "            raise ZeroDivisionError('a fault of our own')\n"
        "        done(self, exchange, status, failure)\n"
        "    Engine._done = broken\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    done = load(tmp_path, embedded.url, load="concurrent", concurrency=3, duration_s=30.0)

    assert done.result.stopped_by == "client_error"
    assert (done.requests.outcome == "ok").sum() >= 5
    assert "a fault of our own" in (tmp_path / "worker-0.log").read_text()
