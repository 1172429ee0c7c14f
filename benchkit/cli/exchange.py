"""Commands that exchange results with other tools."""

from __future__ import annotations

import json
from pathlib import Path

import click

from benchkit.cli.group import main, shown


@main.command("import")
@click.argument("file")
@click.option(
    "--out", metavar="FOLDER", default="outputs", show_default=True, help="Folder that holds runs' folders."
)
def import_(file: str, out: str) -> None:
    """Keep another tool's result file as runs: vllm bench, GuideLLM, AIPerf, inference-perf, SGLang, a points table.

    What the file lacks stays unknown. Prints a folder a load; `benchkit report FOLDER` shows it.
    """
    from benchkit.experiments.importing import import_file

    for folder in import_file(file, out):
        click.echo(shown(folder))


@main.command()
@click.argument("run")
@click.option(
    "--format", "form", type=click.Choice(["vllm", "llm-d"]), default="vllm", show_default=True,
    help="vllm bench's detailed JSON, or an llm-d Benchmark Report.",
)  # fmt: skip
@click.option("-o", "--output", metavar="FILE", help="Write it there instead of printing it.")
def export(run: str, form: str, output: str | None) -> None:
    """Write a run in another tool's format."""
    from benchkit.records.atomic import atomic_write
    from benchkit.records.interop.export import export as convert
    from benchkit.report.run import load_run

    text = json.dumps(convert(load_run(run).stored, form), indent=2)
    if output is None:
        click.echo(text)
    else:
        atomic_write(Path(output), text + "\n")
        click.echo(output, err=True)
