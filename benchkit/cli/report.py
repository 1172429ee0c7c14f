"""The command that makes reports: of stored runs and sweeps without load, or by executing notebooks."""

from __future__ import annotations

from pathlib import Path

import click

from benchkit.cli.group import main, parameter_options, shown, values_of


@main.command()
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE…")
@parameter_options
@click.option(
    "--to",
    "forms",
    default="html",
    show_default=True,
    metavar="FORMS",
    help="Forms to make it in, out of html, pdf and md (Markdown with pictures), as `html,pdf`.",
)
@click.option(
    "-o",
    "--out",
    metavar="FOLDER",
    help="Where the report goes; by default the run's own folder, or outputs/.",
)
def report(
    sources: tuple[str, ...],
    files: tuple[str, ...],
    pairs: tuple[tuple[str, str], ...],
    forms: str,
    out: str | None,
) -> None:
    """Make a report: from a stored run (its folder, or `latest`), without load, or by executing a notebook.

    SOURCE is a run's or sweep's folder, the beginning of a run's name, another tool's result file, which is imported,
    or the path of a notebook, which is executed with the parameters given by -f and -p. Several are made one after the
    other; with -o each has a folder of its own in FOLDER.
    """
    from benchkit.report import share

    asked = share.forms_of(forms)
    share.check(asked)
    for source in sources:
        place = None if out is None else Path(out) / _name(source) if len(sources) > 1 else Path(out)
        page, run = _page(source, files, pairs, place)
        for made in share.share(page, asked, run):
            click.echo(shown(made))


def _page(
    source: str, files: tuple[str, ...], pairs: tuple[tuple[str, str], ...], out: Path | None
) -> tuple[Path, Path | None]:
    """A report's HTML, and the run that it shows where that is known."""
    from benchkit.records import sweeps
    from benchkit.report import execute

    if source.endswith(".ipynb"):
        return execute.report_from_notebook(source, values_of(files, pairs), out), None
    if sweeps.is_sweep(Path(source)):
        return execute.report_from_sweep(source, out), None
    run = _kept(source)
    return execute.report_from_run(run, out), run


def _kept(source: str) -> Path:
    """The folder of a run; another tool's file is imported first."""
    from benchkit.report.run import load_run

    path = load_run(source).path
    if path.is_dir():
        return path
    from benchkit.experiments.importing import import_file

    return import_file(path)[0]


def _name(source: str) -> str:
    return Path(source).stem if source.endswith(".ipynb") else Path(source).name
