"""Tables of requests with chosen chunks, and folders to put them in."""

import pyarrow as pa
import pytest

from benchkit.records import manifest as manifests
from benchkit.records import store
from benchkit.records.schema import REQUESTS


@pytest.fixture
def make_table():
    """Gives a table of ``schema.REQUESTS``: a dict a row, what it leaves out is null or plain."""

    def make(*rows):
        plain = {
            "repeat": 0,
            "phase": "window",
            "worker": 0,
            "outcome": "ok",
            "model": "m",
            "class": "synthetic",
        }
        filled = [
            {**dict.fromkeys(REQUESTS.names), **plain, "index": at, **row} for at, row in enumerate(rows)
        ]
        return pa.Table.from_pylist(filled, schema=REQUESTS)

    return make


@pytest.fixture
def make_run(tmp_path):
    """Gives the folder of a run that has just begun, with its manifest."""

    def make(name="test", **changes):
        folder = store.create(tmp_path / "outputs", name, "0123456789abcdef")
        manifest = manifests.new(
            name=name,
            parameters={"rate": 1.0},
            parameters_hash="0123456789abcdef",
            clock=manifests.clock_anchor(),
        )
        folder.write_manifest(manifest | changes)
        return folder

    return make
