"""The parts of a client's test that are words and tables; a notebook shows each as it is returned."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

import yaml

from benchkit.report import selftest_rows
from benchkit.report.capacity_rows import Rows
from benchkit.report.capacity_text import aligned
from benchkit.report.section import Section

if TYPE_CHECKING:
    from benchkit.report.selftest import Selftest

_FILE = "again.yaml"


def answer(found: Selftest) -> Section:
    """What does this client hold? The limits, and what speaks against them."""
    told, table = selftest_rows.headline(found.map), selftest_rows.limits(found.map)
    remarks = selftest_rows.remarks(found.map)
    about = "Highest rates of tokens/s over all streams, each token an event, and of requests/s."
    html = (
        f'<div class="bk-verdict bk-valid"><p><strong>{escape(told)}</strong></p></div>'
        f'{_table(table)}<p class="bk-quiet">{escape(about)}</p>{_list(remarks)}'
    )
    text = "\n".join([told, "", aligned(table), about, *(f"! {remark}" for remark in remarks)])
    return Section(html, text)


def cells(found: Selftest) -> Section:
    """What was seen under each load? The 99th percentile with its 95 % limits."""
    return _of(selftest_rows.cells(found.map))


def machine(found: Selftest) -> Section:
    """Which machine is this, and with what software?"""
    return _of(selftest_rows.machine(found.map))


def again(found: Selftest) -> Section:
    """How to run this again."""
    given = found.parameters.model_dump(mode="json", exclude_defaults=True)
    text = (
        yaml.safe_dump(given, sort_keys=False, width=100)
        if given
        else "# all parameters have their defaults\n"
    )
    lines = [
        f"papermill notebooks/client_accuracy.ipynb outputs/client_accuracy.ipynb -f {_FILE}",
        f"benchkit selftest -f {_FILE}",
    ]
    html = (
        f"<p>Save these parameters as <code>{_FILE}</code>; either line runs it again.</p>"
        f"<pre>{escape(text)}</pre><pre>{escape(chr(10).join(lines))}</pre>"
    )
    return Section(f'<div class="bk-again">{html}</div>', f"# {_FILE}\n{text}\n" + "\n".join(lines))


def _of(table: Rows) -> Section:
    return Section(_table(table), aligned(table))


def _list(items: Sequence[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(item)}</li>" for item in items) + "</ul>" if items else ""


def _table(table: Rows) -> str:
    head = "".join(f"<th>{escape(cell)}</th>" for cell in table.header)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in table.rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
