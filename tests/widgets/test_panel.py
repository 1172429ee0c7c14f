"""The panel measures for real, and leaves behind what any other way would."""

import asyncio
import json
import os
import signal
import sys

import pytest

from benchkit import serving
from benchkit.errors import BenchkitError
from benchkit.parameters import RunParameters, ServingParameters, load_file, resolve
from benchkit.records import store
from benchkit.report.execute import notebook_path
from benchkit.serving import process
from benchkit.widgets import job as jobs
from benchkit.widgets import panel as shown
from benchkit.widgets.bridge import LEFT_S, SILENCE_S
from benchkit.widgets.job import State
from benchkit.widgets.panel import Cockpit, Panel


async def until(what, seconds=30.0):
    """Waits until something holds."""
    for _ in range(int(seconds / 0.05)):
        if what():
            return
        await asyncio.sleep(0.05)
    raise AssertionError("it did not come to that")


async def test_a_run_by_its_button(panel, project):
    """Start measures, the charts move, the outcome is shown, and the run is listed."""
    panel.run.start()
    assert panel.run.start_button.disabled
    assert panel.sweep.start_button.disabled or not panel.sweep.form.problems
    await until(lambda: "polyline" in panel.run.live._charts.value)
    assert "so far" in panel.run.live._verdict.value
    await panel.desk.job.wait()
    assert panel.desk.job.state is State.DONE
    await until(lambda: "time to first token" in panel.run._outcome.value)
    await until(lambda: len(panel.runs._entries) == 1)
    (entry,) = panel.runs._entries
    assert entry.status == "complete"
    assert entry.verdict in ("valid", "suspect")
    assert entry.numbers["requests/s"] not in ("", "–")
    assert not panel.run.start_button.disabled


async def test_stop_keeps_what_was_measured(panel, project):
    """Stop ends a long load at once, and its folder is a finished one, marked as interrupted."""
    panel.run.form.set("duration_s", 600.0)
    panel.run.start()
    await until(lambda: "polyline" in panel.run.live._charts.value)
    panel.run.stop_button.click()
    await asyncio.wait_for(panel.desk.job.wait(), 20)
    assert panel.desk.job.state is State.INTERRUPTED
    run = store.load(panel.desk.job.folder)
    assert run.manifest["status"] == "interrupted"
    assert len(run.requests) > 0
    assert "what was measured is kept" in panel.run.live._stage.value
    with pytest.raises(BenchkitError):
        await _start_twice(panel)


async def _start_twice(panel):
    panel.run.start()
    panel.desk.job.start("run", lambda _: asyncio.sleep(0))


async def test_interrupt_of_a_resting_kernel_stops_the_run(panel, project):
    """A kernel that executes no cell ignores SIGINT; while a run is on, it stops the run and keeps it."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        panel.run.form.set("duration_s", 600.0)
        panel.run.start()
        await until(lambda: "polyline" in panel.run.live._charts.value)
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.wait_for(panel.desk.job.wait(), 20)
        assert panel.desk.job.why_stopped == "interrupted"
        assert store.load(panel.desk.job.folder).manifest["status"] == "interrupted"
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(("last", "after_s"), [("gone", LEFT_S), ("here", SILENCE_S)])
async def test_a_closed_page_stops_the_run(panel, project, monkeypatch, last, after_s):
    """A page that said that it goes is waited for shortly, one that fell silent for minutes; a run may stay."""
    monkeypatch.setattr(jobs, "TICK_S", 0.05)
    bridge = panel.desk.bridge
    bridge._heard(bridge, {"event": last}, None)
    bridge.waited(after_s - 1)
    panel.run.form.set("duration_s", 600.0)
    panel.run.start()
    panel.run._stays.value = True
    await until(lambda: "polyline" in panel.run.live._charts.value)
    await asyncio.sleep(1.0)
    assert panel.desk.job.state is State.RUNNING
    panel.run._stays.value = False
    await asyncio.wait_for(panel.desk.job.wait(), 20)
    assert panel.desk.job.why_stopped == "its page was closed"


async def test_another_panel_shows_the_same_run(panel, project):
    """A panel that is made while a run is on shows it, and can stop it."""
    panel.run.form.set("duration_s", 600.0)
    panel.run.start()
    await until(lambda: "polyline" in panel.run.live._charts.value)
    other = Cockpit()
    await until(lambda: "polyline" in other.run.live._charts.value)
    other.run.stop_button.click()
    await asyncio.wait_for(panel.desk.job.wait(), 20)
    assert "ended early" in other.run.live._stage.value
    for task in list(other.desk._tasks):
        task.cancel()


async def test_a_failed_run_says_why(panel, project):
    """Nobody listens at the address: the panel says it where the run was started."""
    panel.run.form.set("url", "http://127.0.0.1:9")
    panel.run.start()
    await panel.desk.job.wait()
    assert panel.desk.job.state is State.FAILED
    assert "127.0.0.1:9" in panel.run.live._stage.value


async def test_wrong_values_are_marked_and_cannot_be_started(panel):
    """The model's own words stand at the field, whose section opens; the buttons say no."""
    form = panel.run.form
    form.fields["drain_s"]._input.value = "soon"
    assert "bk-wrong" in form.fields["drain_s"]._dom_classes
    assert "must be a number, not &#x27;soon&#x27;" in form.fields["drain_s"]._below.value
    assert form.folds["Extent"].is_open
    assert panel.run.start_button.disabled
    assert panel.run.copy_as.text.value.startswith("# not yet:")
    form.fields["drain_s"]._input.value = "5"
    assert not panel.run.start_button.disabled
    form.set("rate", 3.0)
    assert "bk-wrong" in form.fields["rate"]._dom_classes
    assert "bk-wrong" in form.fields["load"]._dom_classes


async def test_what_is_exported_has_the_same_plan(panel, project, embedded):
    """The YAML that the panel saves, run by papermill, sends the very plan that the panel's own run has sent."""
    panel.run.form.fill(
        {
            "url": embedded.url,
            "load": "poisson",
            "rate": 20.0,
            "warmup_s": 0.2,
            "duration_s": 1.0,
            "input_tokens": 32,
            "output_tokens": 4,
            "output_tokens_spread": 0.5,
            "seed": 7,
            "slo": ("p50 ttft < 1s",),
        }
    )
    panel.run.copy_as._name.value = "round-trip"
    panel.run.copy_as.save()
    panel.run.start()
    await panel.desk.job.wait()
    file = project / "params" / "round-trip.yaml"
    assert resolve(load_file(file)) == panel.run.form.parameters
    command = [
        sys.executable,
        "-m",
        "papermill",
        notebook_path("run_benchmark"),
        project / "out.ipynb",
        "-f",
        file,
    ]
    made = await asyncio.create_subprocess_exec(*map(str, command), stderr=asyncio.subprocess.DEVNULL)
    assert await made.wait() == 0
    mine, batch = store.list_runs(project / "outputs")
    assert mine.path != batch.path
    assert mine.read_manifest()["plan"] == batch.read_manifest()["plan"]
    assert mine.read_manifest()["parameters_hash"] == batch.read_manifest()["parameters_hash"]


async def test_saving_overwrites_nothing(panel, project):
    """A file of other content is left alone, a strange name is refused."""
    copy_as = panel.run.copy_as
    copy_as._name.value = "mine"
    copy_as.save()
    panel.run.form.set("concurrency", 5)
    copy_as.save()
    assert "choose another name" in copy_as._told.value
    assert "concurrency: 4" in (project / "params" / "mine.yaml").read_text()
    copy_as._name.value = "../out"
    copy_as.save()
    assert "a name of letters" in copy_as._told.value


async def test_servers_start_and_stop(panel, project):
    """A server that is started is listed with its log and health, is measured next, and stops."""
    panel.serve.form.set("server_args", {"gap_ms": 5.0})
    panel.serve.start()
    await until(lambda: panel.serve._cards)
    (card,) = panel.serve._cards.values()
    assert panel.run.form.values["url"] == card.state.url == panel.sweep.form.values["url"]
    await until(lambda: card.healthy)
    await until(lambda: "healthy" in card._line.value)
    panel.serve.url.value = card.state.url
    await panel.serve.look()
    assert "It can be measured" in panel.serve._found.value
    panel.serve._stop(card.state)
    await until(lambda: not panel.serve._cards)
    assert process.list_servers() == []


async def test_a_server_that_was_left_running_is_found_again(panel, project):
    """A detached server that nobody of this kernel started is listed by a new panel, can be measured and stopped."""
    left = await asyncio.to_thread(lambda: serving.start(detached=True, stop_after_s=120))
    other = Cockpit()
    (card,) = other.serve._cards.values()
    assert card.state.url == left.url
    assert "until it is stopped" in card._about
    other.serve._use(card.state)
    assert other.run.form.values["url"] == left.url
    other.serve._stop(card.state)
    await until(lambda: not left.is_alive())
    for task in list(other.desk._tasks):
        task.cancel()


async def test_a_server_that_does_not_start_says_why(panel, project):
    """The error stands beside the button."""
    panel.serve.form.fill({"preset": "no-such-preset"})
    panel.serve.start()
    await until(lambda: "no-such-preset" in panel.serve._told.value)
    assert not panel.serve.start_button.disabled


async def test_runs_are_loaded_compared_and_deleted(panel, project):
    """Marked runs go back into the form, into a comparison, and, asked twice, away."""
    for concurrency in (2, 4):
        panel.run.form.set("concurrency", concurrency)
        panel.run.start()
        await panel.desk.job.wait()
    await until(lambda: len(panel.runs._entries) == 2)
    runs = panel.runs
    assert all("concurrency" in entry.told for entry in runs._entries)
    old, new = reversed(runs._entries)
    runs._ticks[old.path].value = True
    runs.load_button.click()
    assert panel.run.form.values["concurrency"] == 2
    assert panel.pages.value == "Run"
    runs._ticks[new.path].value = True
    runs.compare_button.click()
    assert panel.pages.value == "Compare"
    await until(lambda: panel.compare.shown.value or "bk-error" in panel.compare._told.value)
    assert "load" in panel.compare._told.value  # unlike loads are refused, unless that is the point
    panel.compare.form.set("differs", ("load",))
    await panel.compare.ask()
    assert "<table" in panel.compare.shown.value
    runs.delete_button.click()
    assert old.path.exists()
    runs.delete_button.click()
    await until(lambda: not old.path.exists() and not new.path.exists())


async def test_what_a_dead_kernel_left_is_recovered(panel, project):
    """A run whose processes are gone is finished when a panel is made."""
    panel.run.start()
    await panel.desk.job.wait()
    folder = panel.desk.job.folder
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["status"] = "running"
    (folder / "manifest.json").write_text(json.dumps(manifest))
    other = Cockpit()
    await until(lambda: "recovered" in other.runs._told.value)
    assert store.RunFolder(folder).read_manifest()["status"] == "interrupted"
    for task in list(other.desk._tasks):
        task.cancel()


async def test_a_sweep_by_its_button(panel, project):
    """A sweep of two loads is measured; its points are shown."""
    panel.sweep.form.fill(
        {"concurrencies": (1, 2), "warmup_s": 0.2, "duration_s": 0.6, "input_tokens": 16, "output_tokens": 4}
    )
    panel.sweep.start()
    await until(lambda: "point 2 of 2" in panel.sweep.live._bar.value)
    await panel.desk.job.wait()
    assert panel.desk.job.state is State.DONE
    await until(lambda: "<table" in panel.sweep._outcome.value)
    await until(lambda: any(entry.is_sweep for entry in panel.runs._entries))


async def test_capacity_is_asked_from_the_panel(panel, project):
    """What is measured answers how many servers; without anything measured the page says so."""
    await panel.capacity.ask()
    assert "bk-error" in panel.capacity._told.value


def test_nothing_is_shown_where_nobody_can_press(monkeypatch):
    """Without a page there is no panel, and a notebook's cells take what its parameters cell says."""
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    assert shown.cockpit() is None
    asked = resolve({"load": "poisson", "rate": 2.0})
    assert Panel(asked).parameters is asked


async def test_a_notebooks_panel_holds_its_parameters(project, monkeypatch):
    """With a page, the form begins with the cell's values, and what is changed there holds."""
    monkeypatch.setenv("BENCHKIT_INTERACTIVE", "1")
    asked = resolve({"load": "poisson", "rate": 2.0, "slo": ["error_rate < 1%"]})
    made = Panel(asked)
    assert made.parameters == asked
    made._cockpit.run.form.set("rate", 5.0)
    assert made.parameters == resolve({"load": "poisson", "rate": 5.0, "slo": ["error_rate < 1%"]})
    assert made._cockpit.pages.value == "Run"
    served = Panel(ServingParameters(preset="simple"))
    assert served._cockpit.pages.value == "Serve"
    assert served.parameters.preset == "simple"
    monkeypatch.setenv("BENCHKIT_INTERACTIVE", "0")
    assert Panel(RunParameters())._cockpit is None
    for each in (made, served):
        for task in list(each._cockpit.desk._tasks):
            task.cancel()


def test_the_panel_is_called_by_its_name_again_and_again(monkeypatch):
    """`widgets.cockpit()` is a function however often it was called before."""
    from benchkit import widgets

    monkeypatch.setenv("BENCHKIT_INTERACTIVE", "0")
    assert widgets.cockpit() is None
    assert widgets.cockpit() is None
