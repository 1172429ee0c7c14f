"""Does looking disturb? The client's own error with the panel open in a browser, and without anybody looking.

    python tests/benchmarks/live_view.py [--rounds 3] [--streams 200] [--gap-ms 20] [--seconds 12] [--write PAGE]

The same closed loop against the paced server of ``benchkit selftest``, in turns: by ``benchkit run --quiet``, and by
the panel in JupyterLab in a Chromium that draws it, on the same machine, which is harder than it will be for anybody
whose browser is elsewhere. The error of a token is its stamp less the time just before the server sent it.
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from playwright.sync_api import sync_playwright
from published import write_between

from benchkit.analysis.client_error import beside
from benchkit.records import store
from benchkit.serving import paced

ROOT = Path(__file__).parents[2]
MARKERS = "live view"
FLAGS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]


class Errors(NamedTuple):
    """Of one run, in ms."""

    kernel_p50: float
    kernel_p99: float
    loop_p99: float
    lag_max: float
    lateness_p99: float
    server_p99: float
    tokens_per_s: float


def parameters(asked: argparse.Namespace, url: str) -> dict[str, Any]:
    """Of every run."""
    return {
        "url": url,
        "model": paced.MODEL,
        "endpoint": "completions",
        "concurrency": asked.streams,
        "warmup_s": 3,
        "duration_s": asked.seconds,
        "drain_s": 0.3,
        "input_tokens": 16,
        "output_tokens": asked.tokens,
    }


def errors_of(folder: Path, server: paced.PacedServer) -> Errors:
    """A run's records beside the log of the server that answered it."""
    run = store.load(folder)
    start_ns = run.manifest["clock"]["monotonic_ns"]
    found = beside(run.requests, run.chunks, server.log(), start_ns=start_ns, run_id=folder.name)
    window = run.manifest["load"]["window"]
    begin, end = window["start_ns"] + start_ns, window["end_ns"] + start_ns
    kernel, loop = (found.errors_ms(view, begin, end) for view in ("kernel", "loop"))
    worker = run.manifest["load"]["workers"][0]
    return Errors(
        float(np.quantile(kernel, 0.5)),
        float(np.quantile(kernel, 0.99)),
        float(np.quantile(loop, 0.99)),
        worker["pickup_lag_max_ns"] / 1e6,
        float(np.quantile(found.lateness_ms(begin, end), 0.99)),
        float(np.quantile(found.server_ms(begin, end), 0.99)),
        len(kernel) / ((end - begin) / 1e9),
    )


def alone(asked: argparse.Namespace, project: Path) -> Errors:
    """By the command, with nobody looking."""
    with paced.start_fixed(gap_ms=asked.gap_ms, answer_tokens=asked.tokens) as server:
        words = [
            word for name, value in parameters(asked, server.url).items() for word in ("-p", name, str(value))
        ]
        command = [sys.executable, "-m", "benchkit", "run", "--quiet", *words]
        subprocess.run(command, cwd=project, check=False, capture_output=True)
        return errors_of(store.list_runs(project / "outputs")[-1].path, server)


def watched(asked: argparse.Namespace, project: Path, panel: Any) -> Errors:
    """By the panel, its charts on a page that is drawn."""
    with paced.start_fixed(gap_ms=asked.gap_ms, answer_tokens=asked.tokens) as server:
        page = panel.locator(".bk-page-run")
        for name, value in parameters(asked, server.url).items():
            field = page.get_by_label(name, exact=True)
            if name == "endpoint":
                field.select_option(str(value))
            else:
                field.fill(str(value))
        page.get_by_role("button", name="Start run").click()
        page.get_by_text("sending load").wait_for(timeout=60_000)
        panel.wait_for_timeout(6_000)
        assert page.locator("polyline").count() >= 5
        page.get_by_text("done: ").wait_for(timeout=(asked.seconds + 60) * 1000)
        return errors_of(store.list_runs(project / "outputs")[-1].path, server)


@contextmanager
def lab(project: Path) -> Iterator[Any]:
    """The panel in JupyterLab, on a page of Chromium."""
    (project / "notebooks").mkdir(parents=True)
    shutil.copy(ROOT / "notebooks" / "cockpit.ipynb", project / "notebooks")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    home = project / ".home"
    kept = {"HOME": home, "JUPYTER_CONFIG_DIR": home, "IPYTHONDIR": home, "JUPYTER_DATA_DIR": home / "data"}
    options = [
        "--no-browser",
        "--allow-root",
        "--ip=127.0.0.1",
        f"--port={port}",
        f"--ServerApp.root_dir={project}",
    ]
    options += ["--IdentityProvider.token=", "--ServerApp.password="]
    with (project / "lab.log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", *options],
            stdout=log,
            stderr=log,
            env={**os.environ, **{name: str(path) for name, path in kept.items()}},
            start_new_session=True,
        )
    try:
        for _ in range(200):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/api", timeout=2).close()
                break
            except OSError:
                time.sleep(0.3)
        with sync_playwright() as play:
            browser = play.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
            tab = browser.new_page(viewport={"width": 1280, "height": 1200})
            tab.goto(f"http://127.0.0.1:{port}/doc/tree/notebooks/cockpit.ipynb")
            tab.get_by_text("Python 3 (ipykernel) | Idle").wait_for(timeout=90_000)
            tab.get_by_role("menuitem", name="Run", exact=True).click()
            tab.get_by_role("menuitem", name="Run All Cells", exact=True).click()
            tab.wait_for_selector(".bk-page-run", timeout=60_000)
            for title in ("Extent", "Work"):
                tab.locator(".bk-page-run").get_by_role("button", name=f"▸ {title}").click()
            yield tab
            browser.close()
    finally:
        server.terminate()
        server.wait(20)


def table(rounds: dict[str, list[Errors]], asked: argparse.Namespace) -> str:
    """The medians over the rounds, and each round's p99."""
    heads = (
        "p50",
        "p99",
        "p99 by round",
        "by its event loop, p99",
        "worst pick-up",
        "lateness p99",
        "server late p99",
    )
    lines = [f"| ms | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
    for name, found in rounds.items():
        middle = Errors(*(statistics.median(values) for values in zip(*found, strict=True)))
        each = ", ".join(f"{one.kernel_p99:.2f}" for one in found)
        lines.append(
            f"| {name} | {middle.kernel_p50:.3f} | {middle.kernel_p99:.2f} | {each} | {middle.loop_p99:.2f} | "
            f"{middle.lag_max:.1f} | {middle.lateness_p99:.2f} | {middle.server_p99:.2f} |"
        )
    rate = statistics.median(one.tokens_per_s for found in rounds.values() for one in found)
    where = "on them: browser, JupyterLab, server and client"
    rounded = f"{len(next(iter(rounds.values())))} rounds in turns, medians"
    day = f"{datetime.now(UTC):%Y-%m-%d}"
    lines += [
        "",
        f"{day}, {os.cpu_count()} cores, {where}; {asked.streams} streams, {rate:,.0f} tokens/s; {rounded}.",
    ]
    return "\n".join(lines)


def main() -> None:
    """Runs it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--streams", type=int, default=200)
    parser.add_argument("--gap-ms", type=float, default=20.0)
    parser.add_argument("--tokens", type=int, default=200)
    parser.add_argument("--seconds", type=int, default=12)
    parser.add_argument("--write", type=Path)
    asked = parser.parse_args()
    rounds: dict[str, list[Errors]] = {"nobody looks": [], "the panel is open": []}
    with tempfile.TemporaryDirectory(prefix="benchkit-live-") as place, lab(Path(place) / "project") as panel:
        project = Path(place) / "project"
        for number in range(asked.rounds):
            order = list(rounds) if number % 2 == 0 else list(rounds)[::-1]
            for name in order:
                found = alone(asked, project) if name == "nobody looks" else watched(asked, project, panel)
                rounds[name].append(found)
                print(f"round {number + 1}: {name}: {found}", file=sys.stderr)
    told = table(rounds, asked)
    print(told)
    if asked.write:
        write_between(asked.write, MARKERS, told)


if __name__ == "__main__":
    main()
