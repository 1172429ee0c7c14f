"""The documents say what the code does."""

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchkit.cli import main
from benchkit.parameters import describe

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_the_parameters_page_is_the_model():
    """docs/parameters.md is what `python -m benchkit.parameters.describe` prints."""
    assert (ROOT / "docs" / "parameters.md").read_text() == describe.as_markdown()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page):
    """Every relative link and picture of a page exists."""
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())
    missing = [target for target in targets if not (page.parent / target).exists()]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_on_pages_exist(page):
    """Every `benchkit …` line of a code block names a command and options that there are."""
    lines = [
        line
        for block in re.findall(r"```(?:sh|bash|console)?\n(.*?)```", page.read_text(), flags=re.DOTALL)
        for line in block.splitlines()
        if line.strip().startswith("benchkit ")
    ]
    for line in lines:
        words = shlex.split(line, comments=True)[1:]
        command = main.commands.get(words[0])
        assert command is not None, line
        known = {option for parameter in command.params for option in parameter.opts} | {"--help", "-h"}
        options = [word for word in words if word.startswith("-") and not word.lstrip("-").isdigit()]
        unknown = [option for option in options if option not in known]
        assert unknown == [], line


def test_the_help_names_every_exit_code():
    """`benchkit --help` tells what the exit codes mean."""
    text = " ".join(CliRunner().invoke(main, ["--help"]).output.split())
    assert all(word in text for word in ("1 failed", "2 bad", "3 invalid", "4 objective", "130 interrupted"))
