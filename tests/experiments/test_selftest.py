"""The client's test, whole: real load processes against real paced servers, a stored map, a command."""

import json

import pytest
from click.testing import CliRunner

from benchkit.analysis.client_map import ClientMap
from benchkit.cli import main
from benchkit.errors import RecordError, RunNotFound
from benchkit.experiments import selftest_store
from benchkit.parameters import SelftestParameters, resolve
from benchkit.records import client_maps
from benchkit.report.selftest import selftest

SMALL = {"streams": [2, 6], "tokens_per_s": [400, 800], "requests_per_s": [60], "stage_s": 0.4}


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """Where the map is stored."""
    return tmp_path_factory.mktemp("outputs")


@pytest.fixture(scope="module")
def measured(outputs):
    """A map of a few light loads, and what was told of them."""
    told = []
    found = selftest({**SMALL, "out": str(outputs)}, told.append)
    return found.map, told


def test_every_load_has_its_cell(measured):
    """Streams by paces, then rates of requests, in the order in which they were told of."""
    found, told = measured
    cells = [(cell.kind, cell.asked_per_s) for cell in found.cells]
    assert cells == [("streams", 400), ("streams", 800)] * 2 + [("requests", 60)]
    assert found.columns == (2, 6)
    assert told == ["2 streams, 400 to 800 tokens/s", "6 streams, 400 to 800 tokens/s", "60 requests/s"]


def test_the_server_kept_its_pace_and_all_was_read(measured):
    """Tokens came at the asked rates, and each has a stamp that lies behind its sending."""
    for cell in measured[0].cells:
        assert cell.rate == pytest.approx(cell.asked_per_s, rel=0.5 if cell.kind == "requests" else 0.2)
        assert cell.kernel.n > 0.9 * cell.events_per_s * 0.3
        assert -0.1 < cell.kernel.p50 < 5
        # The event loop sees a token after the kernel has stamped it.
        assert cell.kernel.p50 <= cell.loop.p50
        assert cell.kernel.max <= cell.loop.max
    assert measured[0].cells[-1].lateness.n >= 20


def test_the_client_s_error_is_not_the_server_s(measured):
    """Clocks of the server, the kernel and the client agree, and a server is never too early."""
    for cell in measured[0].cells:
        assert cell.kernel.p50 > -0.1
        assert cell.server.p50 >= 0


def test_a_map_is_kept_and_found_again(measured, outputs, tmp_path):
    """The newest is `latest`, older ones go by their names; a file that is none is refused by name."""
    found = measured[0]
    (kept,) = (outputs / "selftest").glob("2*.json")
    assert selftest_store.stored("latest", str(outputs)) == found
    assert selftest_store.stored(kept.stem, str(outputs)) == found
    assert selftest({"stored": str(kept), "out": str(tmp_path)}).map == found
    path = selftest_store.keep(found, str(tmp_path))
    with pytest.raises(RunNotFound, match="benchkit selftest"):
        selftest_store.stored("latest", str(tmp_path / "elsewhere"))
    with pytest.raises(RunNotFound, match="no maps are called"):
        client_maps.find("20010101", tmp_path)
    for text in ("{", "[]", '{"kind": "client map", "schema": 99}', '{"kind": "client map", "schema": 1}'):
        path.write_text(text)
        with pytest.raises(RecordError, match=path.name):
            selftest_store.stored(str(path), str(tmp_path))


@pytest.mark.usefixtures("measured")
def test_what_is_shown_says_what_was_found(outputs):
    """As text, as JSON and in a notebook it holds each number of streams and each limit."""
    shown = selftest({"stored": "latest", "out": str(outputs)})
    text = str(shown)
    assert "2 streams" in text
    assert "6 streams" in text
    assert "60 requests/s" in text
    told = json.loads(json.dumps(shown.as_dict()))
    limits = {(each["times"], each["bound_ms"], each["streams"]) for each in told["limits"]}
    assert limits == {
        (view, bound, n) for view in ("kernel", "loop") for bound in (1, 5) for n in (2, 6, None)
    }
    assert set(shown._repr_mimebundle_()) == {"text/html", "text/plain"}


@pytest.mark.parametrize("flags", [["--json"], []])
def test_the_command_shows_a_map(measured, outputs, flags):
    """`benchkit selftest --stored` sends no load; it gives all of the map as JSON, or its limits as text."""
    command = ["selftest", "--stored", "latest", "-p", "out", str(outputs), *flags]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 0, done.output
    assert "latest.json" in done.stderr
    if flags:
        told = json.loads(done.stdout)
        del told["limits"]
        assert ClientMap.of(told) == measured[0]
    else:
        assert done.stdout.startswith("This client's own error")


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"streams": []}, "streams"),
        ({"tokens_per_s": [2000, 1000]}, "each larger than the one before"),
        ({"stage_s": 0.01}, "stage_s"),
    ],
)
def test_loads_that_make_no_map_are_refused(values, why):
    """Nothing is sent for an empty list, falling rates or stages too short to tell."""
    with pytest.raises(Exception, match=why):
        resolve(values, SelftestParameters)
