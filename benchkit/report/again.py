"""How to run a run again: the parameters as a file, and the lines that take it."""

from __future__ import annotations

from html import escape
from typing import Any

import yaml

from benchkit.parameters.model import ParameterGroup
from benchkit.redaction import REDACTED
from benchkit.report.frames import RunLike, stored
from benchkit.report.section import Section

_FILE = "again.yaml"


def again(run: RunLike) -> Section:
    """How to run this again: all parameters as YAML, the papermill line, the benchkit line."""
    manifest = stored(run).manifest
    text = parameters_yaml(manifest)
    lines = [
        f"papermill notebooks/run_benchmark.ipynb outputs/again.ipynb -f {_FILE}",
        f"benchkit run -f {_FILE}",
    ]
    folder = getattr(stored(run), "path", None)
    made = f"benchkit report outputs/{folder.name}" if folder is not None else ""
    secret = (
        f" Values shown as {REDACTED} are secrets that no file holds: put them back first."
        if REDACTED in text
        else ""
    )
    html = (
        f"<p>Save these parameters as <code>{_FILE}</code> in the project's folder.{escape(secret)}</p>"
        f"<pre>{escape(text)}</pre>"
        "<p>Then either line runs it again, with the same requests at the same times:</p>"
        f"<pre>{escape(chr(10).join(lines))}</pre>"
    )
    if made:
        html += "<p>This report is made again from the stored records, without any load, by</p>"
        html += f"<pre>{escape(made)}</pre>"
    plain = f"# {_FILE}{secret}\n{text}\n" + "\n".join([*lines, made]).strip()
    return Section(f'<div class="bk-again">{html}</div>', plain)


def run_again(parameters: ParameterGroup, notebook: str, command: str, what: str) -> Section:
    """How to do something again that is not a load with a manifest of its own.

    Args:
        parameters: as they were asked for; those that have their defaults are left out.
        notebook: the notebook's name.
        command: benchkit's command.
        what: what either line does, in words.
    """
    given = parameters.model_dump(mode="json", exclude_defaults=True)
    text = yaml.safe_dump(given, sort_keys=False, allow_unicode=True, width=100)
    if not given:
        text = "# all parameters have their defaults\n"
    lines = [
        f"papermill notebooks/{notebook}.ipynb outputs/{notebook}.ipynb -f {_FILE}",
        f"benchkit {command} -f {_FILE}",
    ]
    html = (
        f"<p>Save these parameters as <code>{_FILE}</code>; either line {escape(what)}.</p>"
        f"<pre>{escape(text)}</pre><pre>{escape(chr(10).join(lines))}</pre>"
    )
    return Section(f'<div class="bk-again">{html}</div>', f"# {_FILE}\n{text}\n" + "\n".join(lines))


def parameters_yaml(manifest: dict[str, Any]) -> str:
    """All parameters of a run as a file that `-f` takes."""
    head = f"# The run of {manifest['created']}, made with benchkit {manifest['benchkit_version']}.\n"
    parameters = dict(manifest["parameters"])
    # A folder outside the project is known by its name alone, and is no part of the experiment.
    if str(parameters.get("out", "")).startswith("..."):
        del parameters["out"]
    return head + yaml.safe_dump(parameters, sort_keys=False, allow_unicode=True, width=100)
