"""The page on objectives says what the grammar and the presets are."""

import re
from pathlib import Path

from benchkit.objectives import PRESETS, RATES, parse
from benchkit.objectives.presets import GUIDELLM_GUIDE

PAGE = (Path(__file__).parents[1] / "docs" / "objectives.md").read_text()


def test_every_example_parses():
    """The first block's lines, and the examples of the table of forms, are objectives."""
    block = re.search(r"```objectives\n(.*?)```", PAGE, flags=re.DOTALL)[1].splitlines()
    forms = PAGE.partition("## What can be said")[2].partition("\n\nMetrics")[0]
    cells = [line.split(" | ")[1] for line in forms.splitlines() if line.startswith("| ")][2:]
    examples = [text for cell in cells for text in re.findall(r"`([^`]+)`", cell)]
    assert len(block) > 10
    assert len(examples) > 6
    for text in [*block, *examples]:
        parse(text)


def test_the_table_of_presets_is_the_presets():
    """Each preset has its row: name, use, objectives, and the heading that its source names."""
    rows = [
        f"| `{preset.name}` | {preset.use} | {', '.join(f'`{text}`' for text in preset.objectives)} | "
        + preset.source.removeprefix("GuideLLM, Service Level Objectives, ").removesuffix(
            f": {GUIDELLM_GUIDE}"
        )
        + " |"
        for preset in PRESETS.values()
    ]
    table = re.search(r"<!-- table: presets -->\n(.*?)<!-- end -->", PAGE, flags=re.DOTALL)[1].splitlines()
    assert table[2:] == rows
    assert GUIDELLM_GUIDE in PAGE


def test_every_rate_is_on_the_page():
    """The page names all rates and shares that an objective may bound."""
    forms = PAGE.partition("## What can be said")[2].partition("\n\nMetrics")[0]
    assert {name for name in RATES if re.search(rf"`{name}\b", forms)} == set(RATES)
