"""The parts of a client's test that are words and tables; a notebook shows each as it is returned."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from benchkit.report import selftest_rows
from benchkit.report.again import run_again
from benchkit.report.rows import Rows, aligned, list_html, table_html
from benchkit.report.section import Section

if TYPE_CHECKING:
    from benchkit.report.selftest import Selftest


def answer(found: Selftest) -> Section:
    """What does this client hold? The limits, and what speaks against them."""
    told, table = selftest_rows.headline(found.map), selftest_rows.limits(found.map)
    remarks = selftest_rows.remarks(found.map)
    about = "Highest rates of tokens/s over all streams, each token an event, and of requests/s."
    html = (
        f'<div class="bk-verdict bk-valid"><p><strong>{escape(told)}</strong></p></div>'
        f'{table_html(table)}<p class="bk-quiet">{escape(about)}</p>{list_html(remarks)}'
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
    return run_again(found.parameters, "client_accuracy", "selftest", "runs it again")


def _of(table: Rows) -> Section:
    return Section(table_html(table), aligned(table))
