"""Two settings compared in pairs of runs, through real sockets."""

import asyncio
import json

import pytest
from click.testing import CliRunner

from benchkit.cli import main
from benchkit.errors import InvalidParameter, ParameterConflict, UnknownParameter, Unreachable
from benchkit.experiments.ab import measure_ab
from benchkit.experiments.ab_pairs import runs_of
from benchkit.experiments.sweeping import SweepHooks
from benchkit.parameters import AbParameters, resolve
from benchkit.records import pairs
from benchkit.report.ab import Ab, ab, load_ab

QUICK = {
    "server_args": {"gap_ms": 4.0, "ttft_ms": 10.0},
    "concurrency": 4,
    "warmup_s": 0.2,
    "duration_s": 0.8,
    "input_tokens": 32,
    "output_tokens": 16,
    "numbers": ["mean itl"],
}
QUIET = SweepHooks()


def asked(**values):
    """Resolved parameters of a comparison."""
    return resolve({**QUICK, **values}, AbParameters)


@pytest.fixture(scope="module")
def slower(tmp_path_factory):
    """Side B takes 15 % more for each token: the comparison of four pairs."""
    out = tmp_path_factory.mktemp("ab")
    return ab(asked(out=str(out), pairs=4, server_args_b={"gap_ms": 4.6}, change=0.1), hooks=QUIET)


def test_a_slower_server_is_found_slower(slower):
    """A setting with gaps 15 % longer is found slower by about that, with an interval that holds the truth."""
    found = slower.look["numbers"]["mean itl"]
    assert found["low"] < 1.15 < found["high"]
    assert found["low"] > 1.05
    assert found["words"].startswith("slower by ")
    assert "mean itl" in str(slower)
    assert "gap_ms 4.6" in str(slower)


def test_halves_of_a_pair_share_times_and_lengths_and_no_prompt(slower):
    """Of a pair both runs were planned alike but for their contents; no two pairs have the same seed."""
    assert len(slower.base) == len(slower.new) == 4
    seeds = set()
    for number, (base, new) in enumerate(zip(slower.base, slower.new, strict=True)):
        a, b = base.manifest["plan_spec"], new.manifest["plan_spec"]
        assert (a.pop("contents"), b.pop("contents")) == (1, 2)
        assert {**a, "vocabulary": None} == {**b, "vocabulary": None}
        assert not set(base.requests["prompt_hash"]) & set(new.requests["prompt_hash"])
        assert base.manifest["pair"] == {
            "comparison": slower.path.name,
            "number": number,
            "side": "a",
            "contents": 1,
        }
        seeds.add(a["seed"])
    assert len(seeds) == 4


def test_each_side_is_one_start_of_its_server(slower):
    """Servers that go on through all pairs are one start a side, which the result says."""
    starts = {
        side: {run["started_at"] for run in slower.manifest["runs"] if run["side"] == side} for side in "ab"
    }
    assert [len(each) for each in starts.values()] == [1, 1]
    assert starts["a"] != starts["b"]
    assert "each side is one start" in str(slower)


def test_the_pilot_says_what_could_be_seen(slower):
    """After three pairs it is known to a range what change the planned ones see, and how many a change takes."""
    pilot = slower.manifest["pilot"]
    told = pilot["numbers"]["mean itl"]
    assert pilot["pairs"] == 3
    assert 0 < told["sees"][0] < told["sees"][1]
    assert 2 <= told["needs"][0] <= told["needs"][1]


def test_a_comparison_goes_on_where_it_ended(slower, tmp_path):
    """A comparison that was broken off measures only what is missing, by the same parameters alone."""
    p = asked(out=str(tmp_path), pairs=2, server_args_b={"gap_ms": 4.6})
    stages = []

    class Enough(Exception):
        pass

    def one_run(text):
        stages.append(text)
        if stages.count("computing the numbers") == 2:
            raise Enough

    with pytest.raises(Enough):
        asyncio.run(measure_ab(p, SweepHooks(on_stage=one_run)))
    (folder,) = pairs.SERIES.list(tmp_path)
    before = pairs.SERIES.read(folder)
    assert before["status"] == "failed"
    assert [run["status"] for run in before["runs"]] == ["complete", "running", "planned", "planned"]

    with pytest.raises(InvalidParameter, match="other parameters"):
        asyncio.run(measure_ab(p.model_copy(update={"resume": str(folder), "seed": 9}), QUIET))
    assert asyncio.run(measure_ab(p, QUIET)) == folder
    after = pairs.SERIES.read(folder)
    assert after["status"] == "complete"
    assert after["runs"][0] == before["runs"][0]
    assert load_ab(folder).look["pairs"] == 2


def test_a_server_with_itself(small_server, tmp_path):
    """One target on both sides is compared with itself, and both sides are the same start."""
    values = {
        "server_args": {},
        "url": small_server.url,
        "url_b": small_server.url,
        "pairs": 2,
        "change": 0.5,
    }
    done = ab(asked(out=str(tmp_path), **values), hooks=QUIET)
    assert done.look["numbers"]["mean itl"]["ratio"] == pytest.approx(1, abs=0.1)
    assert "one start" not in str(done)


def test_a_failed_run_is_kept_in_the_record(free_port_url, tmp_path):
    """A target that does not answer ends the comparison, with the reason in its record."""
    p = asked(out=str(tmp_path), server_args={}, url=free_port_url, url_b=free_port_url, model="m", pairs=2)
    with pytest.raises(Unreachable):
        asyncio.run(measure_ab(p.model_copy(update={"settle_s": 0.0}), QUIET))
    (folder,) = pairs.SERIES.list(tmp_path)
    told = pairs.SERIES.read(folder)
    assert told["status"] == "failed"
    assert "Unreachable" in told["runs"][0]["error"]
    assert "nothing was looked at yet" in str(Ab(folder))


@pytest.fixture
def free_port_url():
    """An address that nothing listens on."""
    from benchkit.serving.process import free_port

    return f"http://127.0.0.1:{free_port()}"


def test_the_order_favours_no_side():
    """Pairs come as ABBA or BAAB by chance: each side as often first, and both orders occur."""
    orders = ["".join(run.side for run in runs_of(asked(pairs=7, seed=seed))) for seed in range(20)]
    for order in orders:
        assert {order[at : at + 4] for at in (0, 4, 8)} <= {"abba", "baab"}
        assert order[12:] in ("ab", "ba")
    assert len({order[:4] for order in orders}) == len({order[12:] for order in orders}) == 2
    assert orders[3] == "".join(run.side for run in runs_of(asked(pairs=7, seed=3)))


@pytest.mark.parametrize(
    ("values", "error", "says"),
    [
        ({"repeats": 3}, ParameterConflict, "set 'pairs'"),
        ({"url": "http://a"}, ParameterConflict, "'url_b' is empty"),
        ({"url": "http://a", "url_b": "http://b", "preset": "simple"}, ParameterConflict, "leave one out"),
        (
            {"url": "http://a", "url_b": "http://b", "server_args": {}, "restart": "each"},
            ParameterConflict,
            "restart",
        ),
        ({"backend": "vllm"}, ParameterConflict, "needs a model"),
        ({"pairs": 1}, InvalidParameter, "at least 2"),
        ({"numbers": []}, InvalidParameter, "numbers"),
        ({"couples": 3}, UnknownParameter, "couples"),
    ],
)
def test_what_makes_no_sense_is_refused(values, error, says):
    """Contradictions are named before anything is sent."""
    with pytest.raises(error, match=says):
        resolve(values, AbParameters)


def test_a_number_that_no_run_has_is_refused(tmp_path):
    """An unknown number is an error before the first run, with what there is."""
    with pytest.raises(InvalidParameter, match="'fast tokens' is no number of a run"):
        asyncio.run(measure_ab(asked(out=str(tmp_path), numbers=["fast tokens"]), QUIET))
    assert list(tmp_path.iterdir()) == []


def test_the_command_says_beforehand_what_it_will_do(tmp_path):
    """A dry run gives order, looks and time, and sends nothing."""
    done = CliRunner().invoke(main, ["ab", "-p", "pairs", "10", "--out", str(tmp_path), "--dry-run"])
    assert done.exit_code == 0, done.output
    assert "after 5, 10 pairs, each at 97.06 %" in done.output
    assert list(tmp_path.iterdir()) == []


def test_the_command_starts_a_server_for_each_run(tmp_path):
    """With a restart each run has a server start of its own; the command prints the record, and its place on stderr."""
    arguments = ["-p", "pairs", "2", "-p", "change", "0.5", "-p", "restart", "each", "--out", str(tmp_path)]
    for name, value in QUICK.items():
        arguments += ["-p", name, json.dumps(value)]
    done = CliRunner().invoke(main, ["ab", *arguments, "--json", "-q"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["status"] == "complete"
    assert len({run["started_at"] for run in told["runs"]}) == 4
    assert told["looks"][0]["numbers"]["mean itl"]["method"] == "paired t on log ratios"
    assert told["looks"][0]["numbers"]["mean itl"]["note"] == ""
    assert "comparison: " in done.stderr
