"""Calibration from end to end: a server whose settings are known is measured over a socket, and its twin written."""

import math
import shutil

import pytest
import yaml
from click.testing import CliRunner

from benchkit.analysis.calibration import Fit
from benchkit.cli import main
from benchkit.errors import CalibrationError, InvalidParameter
from benchkit.experiments import calibrate as twins
from benchkit.experiments import calibration_loads
from benchkit.experiments.calibration_loads import designed_loads
from benchkit.experiments.search_simulated import SimulatedServer
from benchkit.parameters import resolve
from benchkit.records.stored import StoredRun
from benchkit.serving import simulated
from benchkit.serving.simulated.preset_file import read_preset
from benchkit.serving.simulated.settings import settings_for


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Output of `benchkit calibrate` against the preset `simple`, with fewer and shorter loads; folder and preset."""
    folder = tmp_path_factory.mktemp("calibration")
    preset = folder / "twin.yaml"
    with (
        pytest.MonkeyPatch.context() as patch,
        simulated.start(
            preset="simple",
            server_args={"kv_blocks": 9000, "step_decode_us_per_request": 300, "schedule_ahead": True},
        ) as server,
    ):
        patch.setattr(calibration_loads, "_ALONE", (16, 400))
        patch.setattr(calibration_loads, "_TOGETHER", ((4, 150), (12, 60)))
        patch.setattr(calibration_loads, "_CROWDED", ())
        arguments = ["calibrate", "-p", "url", server.url, "-p", "out", str(folder / "runs")]
        arguments += ["--preset-out", str(preset), "-s", "max_num_seqs", "64"]
        arguments += ["-s", "max_num_batched_tokens", "8192"]
        result = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout, folder, preset


def runs_of(folder):
    """The runs' folders, in order of time."""
    return sorted((folder / "runs").glob("*-calibrate-*"))


@pytest.mark.slow
def test_the_command_finds_the_server_s_settings(made):
    """Step time comes out roughly as it was, over a real socket, and the rest as given or as the server says."""
    _, _, preset = made
    settings = read_preset(preset).settings
    assert settings["engine"] == "vllm"
    assert settings["step_base_us"] == pytest.approx(8000, rel=0.1)
    assert settings["step_prefill_us_per_token"] == pytest.approx(40, rel=0.25)
    assert settings["step_decode_us_per_request"] == pytest.approx(300, rel=0.4)
    assert settings["api_us"] < 4000
    assert (settings["max_num_seqs"], settings["max_num_batched_tokens"]) == (64, 8192)
    assert (settings["kv_blocks"], settings["block_size"]) == (9000, 16)
    assert settings["schedule_ahead"] is True


@pytest.mark.slow
def test_the_preset_says_where_it_comes_from(made):
    """Runs, intervals and held-out errors stand in the file, and the embedded server takes it."""
    _, folder, preset = made
    about = yaml.safe_load(preset.read_text("utf-8"))["about"]
    assert about["runs"] == [run.name for run in runs_of(folder)]
    low, high = about["intervals_95"]["step_base_us"]
    assert low <= read_preset(preset).settings["step_base_us"] <= high
    assert len(about["held_out_error_percent"]) == 2
    for row in about["held_out_error_percent"].values():
        assert set(row) == {"ttft_ms", "gap_ms", "latency_ms", "latency_p99_ms"}
        assert all(math.isfinite(error) for error in row.values())
        assert abs(row["latency_ms"]) < 25
    assert settings_for(str(preset), {}).max_num_seqs == 64


@pytest.mark.slow
def test_what_is_printed_says_how_sure_it_is(made):
    """Each setting stands with its interval, each held-out load with its errors."""
    told, _, _ = made
    for text in ("step_base_us", "95 %", "had not seen", "4 streams, 150 + 32 tokens"):
        assert text in told


@pytest.mark.slow
def test_stored_runs_give_the_same_twin(made, tmp_path):
    """`--from` fits to what was measured before, without load; the server's cache is in the runs' telemetry."""
    _, folder, preset = made
    again = tmp_path / "again.yaml"
    arguments = ["calibrate", "--preset-out", str(again), "-s", "max_num_seqs", "64"]
    arguments += ["-s", "max_num_batched_tokens", "8192"]
    for run in runs_of(folder):
        arguments += ["--from", str(run)]
    result = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert read_preset(again).settings == read_preset(preset).settings


@pytest.mark.slow
def test_runs_of_one_kind_do_not_suffice(made, tmp_path):
    """Without lone requests, or without several streams, the error says which are missing; nothing is written."""
    _, folder, _ = made
    runs = runs_of(folder)
    with pytest.raises(CalibrationError, match="synchronous"):
        twins.calibrate_from(runs[2:6], tmp_path / "none.yaml")
    with pytest.raises(CalibrationError, match="several streams"):
        twins.calibrate_from(runs[:2], tmp_path / "none.yaml")
    with pytest.raises(CalibrationError, match="synchronous"):
        twins.calibrate_from([runs[0], *runs[2:6]], tmp_path / "none.yaml")
    assert not (tmp_path / "none.yaml").exists()


@pytest.mark.slow
def test_runs_with_shared_prefixes_need_the_cache_s_word(made, tmp_path):
    """Where prompts shared a prefix and the server did not say what was cached, nobody knows what was computed."""
    _, folder, _ = made
    runs = runs_of(folder)
    shared = tmp_path / runs[3].name
    shutil.copytree(runs[3], shared)
    manifest = shared / "manifest.json"
    assert StoredRun(shared).requests.cached_tokens.isna().all()
    manifest.write_text(
        manifest.read_text("utf-8").replace('"prefix_tokens": 0', '"prefix_tokens": 32'), "utf-8"
    )
    with pytest.raises(CalibrationError, match="prefix_tokens"):
        twins.calibrate_from([*runs[:3], shared], tmp_path / "none.yaml")


@pytest.mark.parametrize("ahead", [True, False])
def test_a_server_that_schedules_ahead_is_told_from_one_that_does_not(ahead):
    """Requests that arrive wait for one step more where a step's batch is fixed while the one before it runs."""
    settings = settings_for("simple", {"schedule_ahead": ahead, "max_num_seqs": 16, "kv_blocks": 9000})
    work = resolve({"input_tokens": 100, "output_tokens": 24, "output_tokens_spread": 0.5, "warmup_s": 1.0})
    point = SimulatedServer(settings, work, streams=True)(6, 10.0, 3)
    steps = {"step_base_us": 8000.0, "step_prefill_us_per_token": 40.0, "step_decode_us_per_request": 60.0}
    found = Fit(steps | {"step_kv_us_per_token": 0.02}, {}, 100, 0.01, {})
    requests = point.records.requests.assign(prompt_tokens=100, wanted_output_tokens=24)
    measured = [(point.records.manifest["parameters"], requests, None)]
    known = twins.KNOWN | {"max_num_seqs": 16, "kv_blocks": 9000}
    assert twins._schedules_ahead(measured, found, known) is ahead


def test_a_server_must_be_named(tmp_path):
    """Without a url there is nothing to make a twin of."""
    with pytest.raises(InvalidParameter, match="url"):
        twins.calibrate({}, tmp_path / "twin.yaml")


def test_what_is_said_of_a_server_must_exist(tmp_path):
    """A name that is no setting of a server is refused with those that there are."""
    with pytest.raises(InvalidParameter, match="max_num_batched_tokens"):
        twins.calibrate_from([], tmp_path / "twin.yaml", server={"max_seqs": 4})


def test_designed_loads_fit_the_server():
    """Lengths follow the scale, no request exceeds the context, and lone prompts differ."""
    for load in designed_loads(4.0, max_model_len=512):
        assert (
            load["input_tokens"] * (1 + load.get("input_tokens_spread", 0)) + load["output_tokens"] * 1.3
            <= 512
        )
    alone = [load["input_tokens"] for load in designed_loads() if load["load"] == "synchronous"]
    assert max(alone) > 10 * min(alone)
    assert [load["input_tokens"] for load in designed_loads(2.0)][:2] == [2 * alone[0], 2 * alone[1]]


def test_drift_does_not_look_like_load():
    """Each load runs twice, in opposite order."""
    loads = designed_loads()
    assert loads == loads[::-1]
    assert len(loads) % 2 == 0


def test_designed_loads_fill_the_server():
    """The largest batch that the server takes is among them, up to 256; a small server is not flooded."""
    streams = [
        load["concurrency"] for load in designed_loads(max_num_seqs=64) if load["load"] == "concurrent"
    ]
    assert max(streams) == 64
    assert 32 in streams
    assert max(load.get("concurrency", 1) for load in designed_loads(max_num_seqs=4096)) == 256
    assert max(load.get("concurrency", 1) for load in designed_loads(max_num_seqs=1)) == 8
