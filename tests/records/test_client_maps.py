"""Maps of a client are found again as they were stored, and nothing else passes for one."""

import json

import pytest

from benchkit.errors import RecordError, RunNotFound
from benchkit.records import client_maps

MAP = {"made": "2026-01-01T00:00:00+00:00", "answer_tokens": 200, "cells": [{"p99": None, "rate": 2000.5}]}


def test_a_map_is_found_under_its_time_and_as_the_latest(tmp_path):
    """The newest of two is the latest, and each keeps a file of its own; no value is lost on the way."""
    first = client_maps.write(tmp_path, MAP)
    first = first.rename(first.with_name("20250101T000000Z.json"))
    second = client_maps.write(tmp_path, {**MAP, "answer_tokens": 7})
    assert client_maps.read(first) == MAP
    assert client_maps.read(client_maps.find("latest", tmp_path))["answer_tokens"] == 7
    assert client_maps.find("2025", tmp_path) == first
    assert client_maps.find(str(second), tmp_path) == second


def test_a_missing_map_says_how_to_make_one(tmp_path):
    """Without a map, and by a name that fits none or several, the error names what to do or where to look."""
    with pytest.raises(RunNotFound, match="benchkit selftest"):
        client_maps.find("latest", tmp_path)
    with pytest.raises(RunNotFound, match="no maps are called '2031'"):
        client_maps.find("2031", tmp_path)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("{", "cannot be read"),
        ("[]", "no map of a client"),
        (json.dumps({"schema": 1, "kind": "run"}), "no map of a client"),
        (json.dumps({"schema": 2, "kind": "client map"}), "version 2"),
    ],
)
def test_what_is_no_map_is_refused(tmp_path, content, why):
    """Damage, another kind of file and a later version are told apart."""
    path = tmp_path / "map.json"
    path.write_text(content)
    with pytest.raises(RecordError, match=why):
        client_maps.read(path)
