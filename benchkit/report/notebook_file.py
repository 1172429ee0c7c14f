"""Notebook files: read, write, sign."""

from __future__ import annotations

import contextlib
from pathlib import Path

import nbformat
from nbformat.sign import NotebookNotary
from nbformat.validator import NotebookValidationError

from benchkit.errors import ReportError


def read(path: Path) -> nbformat.NotebookNode:
    """The notebook in a file, in format 4.

    Raises:
        ReportError: it is not there, or not a notebook.
    """
    try:
        notebook: nbformat.NotebookNode = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    except (OSError, ValueError, NotebookValidationError) as error:
        raise ReportError(f"{path} could not be read as a notebook: {error}") from error
    return notebook


def write(notebook: nbformat.NotebookNode, path: Path) -> None:
    """Writes a notebook and signs it, so that its author sees its tables at once when it is opened."""
    nbformat.write(notebook, path)  # type: ignore[no-untyped-call]
    # A convenience of the author's own Jupyter, whose database of signatures may be missing or read-only.
    with contextlib.suppress(Exception):
        NotebookNotary().sign(notebook)  # type: ignore[no-untyped-call]
