"""The index: every run in one page that sorts, and changes that the intervals support."""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from benchkit.errors import RunNotFound
from benchkit.records import sweeps
from benchkit.records.stored import StoredRun
from benchkit.report.index import write_index
from benchkit.report.index_entry import Number
from benchkit.report.index_history import apart, histories
from benchkit.report.index_reading import entries

EVIL = '"><script>alert(1)</script>'
Put = Callable[..., Path]


@pytest.fixture
def outputs(tmp_path: Path) -> Path:
    """A folder of runs."""
    (tmp_path / "outputs").mkdir()
    return tmp_path / "outputs"


@pytest.fixture
def put(run: StoredRun, outputs: Path) -> Put:
    """Puts a run into it, of a day of January 2026; its TTFT, what it was asked and where it ran may be said."""

    def make(day: int, *, ttft: float = 1.0, within: Path | None = None, **changes: Any) -> Path:
        folder = (within or outputs) / f"202601{day:02d}T000000Z-demo-abcdef"
        shutil.copytree(run.path, folder)
        manifest = copy.deepcopy(run.manifest)
        manifest["created"] = f"2026-01-{day:02d}T00:00:00.000+00:00"
        for name, value in changes.items():
            manifest[name] = {**manifest[name], **value} if isinstance(value, dict) else value
        (folder / "manifest.json").write_text(json.dumps(manifest))
        summary = copy.deepcopy(run.summary)
        told = summary["windows"]["whole"]["metrics"]["ttft_ms"]
        told["p50"] *= ttft
        told["ci95"]["p50"] = [end * ttft for end in told["ci95"]["p50"]]
        (folder / "summary.json").write_text(json.dumps(summary))
        return folder

    return make


def _index(outputs: Path) -> str:
    return write_index(outputs).read_text("utf-8")


def test_every_run_is_a_row_with_its_numbers(put: Put, outputs: Path, run: StoredRun) -> None:
    """The newest first; verdict, intervals, the course through the window, and the report where one lies."""
    put(1)
    (put(2) / "report.html").touch()
    text = _index(outputs)
    rows = re.findall(r"<tr>.*?</tr>", text.partition("<tbody>")[2].partition("</tbody>")[0])
    assert [re.findall(r"2026-01-\d\d", row)[0] for row in rows] == ["2026-01-02", "2026-01-01"]
    assert 'href="20260102T000000Z-demo-abcdef/report.html"' in rows[0]
    assert "href" not in rows[1]
    for row in rows:
        assert f">{run.summary['validity']['verdict']}</strong>" in row
        assert f'data-v="{run.summary["windows"]["whole"]["metrics"]["ttft_ms"]["p50"]!r}"' in row
        assert row.count(" to ") >= 3
        assert "<svg" in row


def test_the_course_is_that_of_the_records(put: Put, outputs: Path, run: StoredRun) -> None:
    """Each place of it is the median TTFT of the requests that were sent in its part of the window."""
    put(1)
    (entry,) = entries(outputs)
    requests = run.requests[run.requests["phase"] == "window"].dropna(subset=["first_token_ns"])
    window = run.manifest["load"]["window"]
    length = (window["end_ns"] - window["start_ns"]) / 32
    first = requests[requests["sent_ns"] < window["start_ns"] + length]
    assert len(entry.series) == 32
    assert entry.series[0] == pytest.approx(((first["first_token_ns"] - first["sent_ns"]) / 1e6).median())


def test_links_lead_to_what_is_there(put: Put, outputs: Path) -> None:
    """Each is relative and exists, odd names and reports of no run included."""
    (put(1) / "report.html").touch()
    (outputs / "all of them & more").mkdir()
    (outputs / "all of them & more" / "sweep.html").touch()
    links = re.findall(r'href="([^"]*)"', _index(outputs))
    assert len(links) >= 2
    for link in links:
        assert (outputs / unquote(link.replace("&amp;", "&"))).is_file()


def test_what_cannot_be_read_is_a_row_too(put: Put, outputs: Path) -> None:
    """Damaged, unfinished, of a later version: the page is made, says why, and names no path of the machine."""
    put(1)
    (put(2) / "summary.json").write_text("{")
    (put(3) / "manifest.json").write_text("{")
    (put(4) / "summary.json").unlink()
    put(5, schema=99)
    (put(6) / "summary.json").write_text("{}")
    (outputs / "20260107T000000Z-sweep-000000").mkdir()
    (outputs / "20260107T000000Z-sweep-000000" / "sweep.json").write_text("[]")
    text = _index(outputs)
    assert text.count('class="bk-trouble"') == 6
    assert str(outputs) not in text
    found = {entry.folder[6:8]: entry.trouble for entry in entries(outputs)}
    assert found.pop("01") == ""
    for day, words in {
        "02": "damaged",
        "03": "damaged",
        "04": "recover",
        "05": "version 99",
        "06": "not as",
    }.items():
        assert words in found[day]


def test_runs_of_a_sweep_stand_below_it(put: Put, outputs: Path) -> None:
    """The sweep has a row with its loads and its worst verdict; its runs are parts, and no history of the service."""
    sweep = sweeps.create(outputs, "many", {"url": "http://127.0.0.1:1"}, "0" * 64, cells=[])
    inside = [put(day, within=sweep) for day in (1, 2)]
    points = [
        {"folder": folder.name, "rate": rate, "status": "complete"}
        for folder, rate in zip(inside, (2, 8), strict=True)
    ]
    points.append({"folder": "../..", "rate": 9, "status": "complete"})
    sweeps.write(sweep, {**sweeps.read(sweep), "points": points, "status": "complete"})
    found = entries(outputs)
    assert [(entry.kind, bool(entry.parent)) for entry in found] == [
        ("sweep", False),
        ("run", True),
        ("run", True),
    ]
    assert found[0].load == "2 loads, 2 to 9 requests/s"
    assert found[0].verdict == found[1].verdict
    assert histories(found) == ()
    text = _index(outputs)
    assert text.count('<tr class="bk-part">') == 2
    assert "1 sweep, 2 runs inside of them" in text


def test_a_change_is_one_only_where_the_intervals_are_apart(put: Put, outputs: Path) -> None:
    """A shift within the intervals is none; a doubled TTFT is, with what was measured differently beside it."""
    put(1)
    put(2, ttft=1.01)
    put(
        3,
        ttft=2.0,
        server={"version": "0.11", "url": "http://127.0.0.1:1"},
        environment={"cpu_model": "another"},
    )
    (told,) = histories(entries(outputs))
    (jump,) = told.jumps
    assert [run.created[:10] for run in told.runs] == ["2026-01-01", "2026-01-02", "2026-01-03"]
    assert (jump.before.created[:10], jump.after.created[:10]) == ("2026-01-02", "2026-01-03")
    assert [(each.name, each.statistic) for each, *_ in jump.changes] == [("ttft_ms", "p50")]
    assert jump.differences == ("cpu_model: a processor \N{RIGHTWARDS ARROW} another",)
    text = _index(outputs)
    assert "cpu_model: a processor \N{RIGHTWARDS ARROW} another" in text
    assert "TTFT p50 (+98 %)" in text
    assert text.count("bk-spark-changed") == 1 + 1  # in the page's style and once as a mark


def test_only_like_runs_share_a_history(put: Put, outputs: Path) -> None:
    """Another load, model or address begins one of its own, and one run is none."""
    put(1)
    put(2, parameters={"rate": 40.0})
    put(3, preflight={"model": "other"})
    put(4, parameters={"url": "http://127.0.0.1:9"})
    assert histories(entries(outputs)) == ()
    put(5)
    (told,) = histories(entries(outputs))
    assert [run.created[8:10] for run in told.runs] == ["01", "05"]


def test_runs_that_say_nothing_of_the_service_make_no_change(put: Put, outputs: Path) -> None:
    """An interrupted run is counted as left out; runs before and after it are compared."""
    put(1)
    put(2, ttft=3.0, status="interrupted")
    put(3)
    (told,) = histories(entries(outputs))
    assert (len(told.runs), told.left_out, told.jumps) == (2, 1, ())


@pytest.mark.parametrize(
    ("one", "other", "differ"),
    [
        ((1, 2), (3, 4), True),
        ((3, 4), (1, 2), True),
        ((1, 3), (2, 4), False),
        ((1, 2), (2, 3), False),
        (None, (3, 4), False),
        ((1, 2), None, False),
    ],
)
def test_intervals_decide(one: Any, other: Any, differ: bool) -> None:
    """Apart means that they have nothing in common; without an interval nothing is said."""
    assert apart(Number(1.5, one), Number(3.5, other)) is differ


def test_nothing_that_a_run_says_can_run(put: Put, outputs: Path) -> None:
    """Names, models, versions and errors are text; the only script is the page's own, by its hash."""
    put(1, name=EVIL, preflight={"model": EVIL}, server={"version": EVIL})
    put(2, name=EVIL, preflight={"model": EVIL}, server={"version": "b"}, ttft=2.0)
    (outputs / 'a"><b>').mkdir()
    (outputs / 'a"><b>' / "x.html").touch()
    text = _index(outputs)
    scripts = re.findall(r"<script>(.*?)</script>", text, flags=re.DOTALL)
    assert len(scripts) == text.count("<script") == 1
    digest = base64.b64encode(hashlib.sha256(scripts[0].encode()).digest()).decode()
    assert f"sha256-{digest}" in text
    assert "default-src &#x27;none&#x27;" in text
    assert "<b>" not in text
    assert not re.findall(r"""(?:src|href)=["'](?:https?:|//|javascript:)""", text)


def test_a_folder_that_is_not_there_is_refused_and_an_empty_one_is_not(outputs: Path) -> None:
    """The error names it; without runs the page says how to make one."""
    with pytest.raises(RunNotFound, match="nowhere"):
        write_index(outputs / "nowhere")
    assert "No run lies here yet" in _index(outputs)


@pytest.mark.slow
def test_five_hundred_runs_take_less_than_two_seconds(put: Put, outputs: Path) -> None:
    """All of this process's time from the first file to the written page, services with long histories included."""
    source = put(1)
    for number in range(499):
        folder = outputs / f"20260102T{number:06d}Z-demo-abcdef"
        folder.mkdir()
        for name in ("requests.parquet", "summary.json"):
            os.link(source / name, folder / name)
        told = json.loads((source / "manifest.json").read_text())
        told["created"] = f"2026-01-02T{number // 60:02d}:{number % 60:02d}:00+00:00"
        # As large as real ones, which list their vocabulary.
        told["plan_spec"] = {"vocabulary": {"words": [f"word{at}" for at in range(600)]}}
        (folder / "manifest.json").write_text(json.dumps(told))
    began = time.process_time()
    made = write_index(outputs)
    assert time.process_time() - began < 2.0
    assert made.read_text("utf-8").count("<tr>") == 501


@pytest.mark.chromium
@pytest.mark.slow
def test_a_browser_without_network_sorts_and_searches(put: Put, outputs: Path) -> None:
    """Offline: a click on a head sorts by its numbers, another turns it round, words search, parts come at a tick."""
    from playwright.sync_api import sync_playwright

    for day, ttft in ((1, 3.0), (2, 1.0), (3, 20.0)):
        put(day, ttft=ttft)
    put(4, preflight={"model": "other"}, ttft=2.0)
    sweep = sweeps.create(outputs, "many", {}, "0" * 64, cells=[])
    points = [{"folder": put(5, within=sweep).name, "rate": 1, "status": "complete"}]
    sweeps.write(sweep, {**sweeps.read(sweep), "points": points})
    made = write_index(outputs)
    asked, errors = [], []
    with sync_playwright() as play:
        browser = play.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--headless=new", "--no-sandbox", "--disable-gpu"]
        )
        tab = browser.new_context(offline=True).new_page()
        tab.on("request", lambda request: asked.append(request.url))
        tab.on("pageerror", lambda error: errors.append(str(error)))
        tab.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        tab.goto(made.as_uri())
        days = (
            "rows => rows.filter(r => !r.hidden && r.cells[1].innerText.includes('demo'))"
            ".map(r => r.cells[0].innerText.slice(8, 10))"
        )
        rows = tab.locator("#bk-runs tbody tr")
        assert rows.evaluate_all(days) == ["04", "03", "02", "01"]
        head = tab.get_by_role("button", name="TTFT p50")
        head.click()
        assert rows.evaluate_all(days) == ["02", "04", "01", "03"]
        head.press("Enter")
        assert rows.evaluate_all(days) == ["03", "01", "04", "02"]
        assert head.locator("..").get_attribute("aria-sort") == "descending"
        tab.locator("#bk-search").fill("OTHER")
        assert rows.evaluate_all(days) == ["04"]
        tab.locator("#bk-search").fill("")
        tab.locator("#bk-parts").check()
        assert sorted(rows.evaluate_all(days)) == ["01", "02", "03", "04", "05"]
        browser.close()
    assert asked == [made.as_uri()]
    assert errors == []
