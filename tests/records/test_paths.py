"""No path of this machine gets into what is stored."""

import os
from pathlib import Path

import pytest

from benchkit.records.paths import scrub_paths, scrub_text


@pytest.fixture
def places(tmp_path, monkeypatch):
    home, root = tmp_path / "home" / "ada", tmp_path / "work" / "my project"
    home.mkdir(parents=True)
    root.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    return home, root


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{root}/outputs/run-1", "outputs/run-1"),
        ("{root}", "."),
        ("{root}/", ""),
        ("{home}/models/llama", "~/models/llama"),
        ("{home}", "~"),
        ("--model={home}/m --out={root}/o", "--model=~/m --out=o"),
        ("file://{root}/a.log: line 3", "a.log: line 3"),
        ("'{root}/a', \"{home}/b\"", "'a', \"~/b\""),
        ("{root}-other/x", None),
        ("{home}x/y", None),
        ("/usr/bin/python3", ".../python3"),
        ("/etc/hosts and /etc/passwd.", ".../hosts and .../passwd."),
        ("http://127.0.0.1:8000/v1/models", "http://127.0.0.1:8000/v1/models"),
        ("https://host/usr/bin", "https://host/usr/bin"),
        ("/v1/chat/completions", "/v1/chat/completions"),
        ("a/b and and/or", "a/b and and/or"),
        ("meta-llama/Llama-3.2-1B", "meta-llama/Llama-3.2-1B"),
        ("~/x and ../y and ./z", "~/x and ../y and ./z"),
        ("1/2", "1/2"),
    ],
)
def test_paths_are_shown_from_the_project_or_home(places, text, expected):
    """Below the project relative, below home with a tilde, elsewhere the name alone; the rest stays."""
    home, root = places
    scrubbed = scrub_text(text.format(root=root, home=home), root)
    if expected is None:
        assert str(places[0].parent) not in scrubbed
        assert str(places[1].parent) not in scrubbed
    else:
        assert scrubbed == expected


def test_links_to_the_project_are_seen_through(places, tmp_path):
    """A path may be written through a link or as it really is."""
    _, root = places
    link = tmp_path / "link"
    link.symlink_to(root)
    assert scrub_text(f"{link}/a {root}/b", link) == "a b"


def test_values_are_scrubbed_at_any_depth(places):
    """Keys, lists and path objects too; numbers and nulls stay as they are."""
    home, root = places
    value = {f"{root}/k": [Path(f"{home}/a"), {"x": (f"{root}/b", 3, None, True, 1.5)}]}
    assert scrub_paths(value, root) == {"k": ["~/a", {"x": ["b", 3, None, True, 1.5]}]}


def test_scrubbing_is_stable(places):
    """What was scrubbed once does not change when it is scrubbed again."""
    home, root = places
    once = scrub_text(f"{root}/a {home}/b {os.sep}usr/lib/c", root)
    assert scrub_text(once, root) == once
