"""A report in the forms that it is sent in: HTML, PDF, Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchkit.errors import InvalidParameter, ReportError

FORMS: Final = ("html", "pdf", "md")
"""The forms of a report, by the endings of their files."""


def forms_of(text: str) -> tuple[str, ...]:
    """The forms that a list such as ``html,pdf`` names, each once.

    Raises:
        InvalidParameter: a form that there is not, or none.
    """
    asked = tuple(dict.fromkeys(word.strip().lower() for word in text.split(",") if word.strip()))
    unknown = [word for word in asked if word not in FORMS]
    if unknown or not asked:
        raise InvalidParameter(
            f"a report is made as {', '.join(FORMS)}, not as {unknown[0] if unknown else text!r}"
        )
    return asked


def check(forms: Sequence[str]) -> None:
    """Finds out before a notebook is executed whether its report can be made at all.

    Raises:
        ReportError: a PDF is asked for, and there is no Chromium.
    """
    if "pdf" in forms:
        from benchkit.report.pdf import chromium

        chromium()


def share(page: Path, forms: Sequence[str], run_path: Path | None = None) -> list[Path]:
    """The files of a report in the forms that are asked for, in their order; those that are not there yet are made.

    Args:
        page: its HTML, with the executed notebook beside it.
        forms: out of ``FORMS``.
        run_path: the run that it shows, where that is known; else the one that the notebook names.

    Raises:
        ReportError: one of them could not be made.
    """
    return [_made(page, form, run_path) for form in forms]


def _made(page: Path, form: str, run_path: Path | None) -> Path:
    if form == "html":
        return page
    out = page.with_suffix(f".{form}")
    if form == "pdf":
        from benchkit.report.pdf import to_pdf

        return to_pdf(page, out)
    if form == "md":
        from benchkit.report.markdown import to_markdown

        return to_markdown(page.with_suffix(".ipynb"), out, run_path)
    raise ReportError(f"a report is not made as {form}")
