"""A report as PDF: the page with its charts drawn beforehand, printed by Chromium without a network.

The charts of `report.html` are drawn by a script when someone opens it. For paper they are drawn here, as vectors,
and the page that Chromium prints has no script at all: nothing to wait for, and nothing missing when it prints.
"""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import tempfile
from html import escape
from pathlib import Path
from typing import Any, Final

import vl_convert

from benchkit.errors import ReportError
from benchkit.records.atomic import atomic_path
from benchkit.report.page import own
from benchkit.report.renderer import VEGA_LITE, vega_lite

VARIABLE: Final = "BENCHKIT_CHROMIUM"
"""Names the browser's program where it is not found by itself."""
_PROGRAMS: Final = ("chromium", "chromium-browser", "google-chrome")
_TIMEOUT_S: Final = 120
_SCRIPT: Final = re.compile(r"<script\b.*?</script>", re.DOTALL)
_SPECS: Final = re.compile(r'<script type="application/json" id="bk-specs">(.*?)</script>', re.DOTALL)
_PLACE: Final = re.compile(r'<div class="bk-chart" id="bk-chart-(\d+)"[^>]*></div>')
_MORE: Final = '<details class="bk-more">'
_FLAGS: Final = (
    *("--headless", "--disable-gpu", "--disable-extensions", "--no-first-run", "--disable-sync"),
    # Containers give little shared memory.
    "--disable-dev-shm-usage",
    *("--disable-background-networking", "--disable-component-update", "--disable-default-apps"),
    # Whatever a page or the browser itself would ask for, no name leads anywhere.
    *("--host-resolver-rules=MAP * ~NOTFOUND", "--no-pdf-header-footer"),
)


def chromium() -> str:
    """The path of the Chromium that prints.

    Raises:
        ReportError: there is none.
    """
    named = os.environ.get(VARIABLE)
    if named:
        found = shutil.which(named)
        if found is None:
            raise ReportError(f"{VARIABLE} names {named}, which is no program that can be started")
        return found
    for program in _PROGRAMS:
        found = shutil.which(program)
        if found is not None:
            return found
    raise ReportError(
        "a PDF is printed by Chromium, and none is installed: install it (Debian: apt install chromium), or name one "
        f"by {VARIABLE}; or open report.html in a browser and print it"
    )


def to_pdf(page: Path, out: Path) -> Path:
    """Prints a page that `html.to_html` made, and gives the PDF's path.

    Args:
        page: `report.html`.
        out: the file to write.

    Raises:
        ReportError: there is no Chromium, or it printed nothing.
    """
    program = chromium()
    still = for_paper(page.read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory(prefix="benchkit-pdf-") as folder, atomic_path(out) as temporary:
        source = Path(folder) / "report.html"
        source.write_text(still, encoding="utf-8")
        printed = Path(folder) / "report.pdf"
        _print(program, source, printed, Path(folder) / "profile")
        shutil.copyfile(printed, temporary)
    return out


def for_paper(page: str) -> str:
    """A report's page with its charts as pictures, without scripts, and laid out for paper."""
    found = _SPECS.search(page)
    specs: list[dict[str, Any]] = json.loads(found[1]) if found else []
    still = _SCRIPT.sub("", page)
    still = _PLACE.sub(lambda place: _picture(specs[int(place[1])]), still)
    still = still.replace(_MORE, '<details class="bk-more" open>')
    return still.replace("</style>", f"{own('paper.css')}</style>", 1)


def _picture(spec: dict[str, Any]) -> str:
    drawn: str = vl_convert.vegalite_to_svg(
        json.dumps(vega_lite(spec)), vl_version=VEGA_LITE, allowed_base_urls=[]
    )
    title = spec.get("title")
    text = title.get("text", "") if isinstance(title, dict) else title or ""
    label = " ".join(text) if isinstance(text, list) else str(text)
    # As an image, since nothing in an image can run, whatever a model is called.
    data = base64.b64encode(drawn.encode("utf-8")).decode("ascii")
    return f'<div class="bk-chart"><img alt="{escape(label)}" src="data:image/svg+xml;base64,{data}"></div>'


def _print(program: str, source: Path, printed: Path, profile: Path) -> None:
    command = [program, *_FLAGS, f"--user-data-dir={profile}", f"--print-to-pdf={printed}"]
    if os.geteuid() == 0:
        # Chromium refuses to start as root with its sandbox; the page has no scripts.
        command.append("--no-sandbox")
    try:
        done = subprocess.run(
            [*command, source.as_uri()], capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise ReportError(f"{program} printed nothing within {_TIMEOUT_S} s") from error
    except OSError as error:
        raise ReportError(f"{program} could not be started: {error}") from error
    if not printed.is_file() or not printed.stat().st_size:
        told = " ".join(done.stderr.split())[-500:]
        raise ReportError(f"{program} printed nothing (exit code {done.returncode}): {told}")
