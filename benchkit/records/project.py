"""Where the project begins, so that a notebook means the same files from any folder."""

from __future__ import annotations

from pathlib import Path


def project_root(start: Path | None = None) -> Path:
    """The nearest folder upwards with `pyproject.toml` or with notebooks in `notebooks/`; else `start`.

    Args:
        start: where to look from; the working folder when None.
    """
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        if (folder / "pyproject.toml").exists() or any(folder.glob("notebooks/*.ipynb")):
            return folder
    return here


def in_project(path: Path | str, start: Path | None = None) -> Path:
    """`path` as an absolute path: a relative one counts from the project's root."""
    wanted = Path(path).expanduser()
    return wanted if wanted.is_absolute() else project_root(start) / wanted
