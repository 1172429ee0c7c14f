"""The machine's facts: all there, quick, harmless."""

import getpass
import json
import shutil
import socket
import time
from pathlib import Path

import pytest

from benchkit.records import environment


def test_every_fact_has_a_value_or_null():
    """All registered facts are collected, as JSON, with a description each."""
    facts = environment.collect()
    assert list(facts) == list(environment.FACTS)
    assert json.loads(json.dumps(facts)) == facts
    assert all(fact.description for fact in environment.FACTS.values())
    for name in ("benchkit", "python", "kernel", "cpu_count", "memory_total", "client_packages"):
        assert facts[name], name


def test_collecting_is_quick():
    """A run does not wait for it: the best of three is under 100 ms."""
    times = []
    for _ in range(3):
        begin = time.perf_counter()
        environment.collect()
        times.append(time.perf_counter() - begin)
    assert min(times) < 0.1


def test_nothing_tells_the_user_or_the_host(monkeypatch):
    """Neither user, host, home nor any value of an environment variable is in the facts."""
    monkeypatch.setenv("MY_API_KEY", "hunter22hunter22")
    text = json.dumps(environment.collect())
    assert "hunter22" not in text
    assert str(Path.home()) + "/" not in text
    assert socket.gethostname() not in text
    user = getpass.getuser()
    assert f"/{user}" not in text


def test_a_fact_that_fails_is_null(monkeypatch):
    """An unreadable file of the system costs one fact, not the run."""

    def fail():
        raise PermissionError("not for you")

    broken = environment.Fact(fail, "broken")
    monkeypatch.setitem(environment.FACTS, "kernel", broken)
    assert environment.collect()["kernel"] is None


def test_comparable_facts_tell_machines_apart():
    """Only facts that change numbers count as differences."""
    here = environment.collect()
    there = here | {"cpu_model": "another", "load_average": [9.0, 9.0, 9.0]}
    assert environment.differences(here, here) == {}
    assert environment.differences(here, there) == {"cpu_model": (here["cpu_model"], "another")}


def test_commit_is_of_the_project(monkeypatch, tmp_path):
    """Outside a checkout there is no commit, inside one it is the head, marked when files differ."""
    if shutil.which("git") is None:
        pytest.skip("needs git")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").write_text("")
    assert environment.collect()["git_commit"] is None
    for arguments in (
        ("init", "-q"),
        ("add", "."),
        ("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "-m", "x"),
    ):
        assert environment._git(tmp_path, *arguments) is not None
    clean = environment.collect()["git_commit"]
    assert len(clean) == 12
    (tmp_path / "pyproject.toml").write_text("# changed")
    assert environment.collect()["git_commit"] == f"{clean}+"
