"""The command that makes one page of all runs."""

from __future__ import annotations

from pathlib import Path

import click

from benchkit.cli.group import main, shown


@main.command()
@click.argument("folder", default="outputs", metavar="[FOLDER]")
def index(folder: str) -> None:
    """Make index.html in FOLDER (outputs): all runs and sweeps in one offline page, and each service's history.

    It can be sorted and searched, links to the reports that lie beside it, and says where a service changed and what
    was measured differently there. Sends nothing, and reads nothing but FOLDER.
    """
    from benchkit.records.project import in_project
    from benchkit.report.index import write_index

    given = Path(folder).expanduser()
    click.echo(shown(write_index(given if given.is_dir() else in_project(folder))))
