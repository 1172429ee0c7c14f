"""What the embedded server can be told: presets, files, vLLM's own flags."""

import pytest
import yaml

from benchkit.errors import InvalidParameter, UnknownParameter
from benchkit.serving import simulated
from benchkit.serving.simulated.__main__ import parser
from benchkit.serving.simulated.settings import PRESETS, settings_for
from benchkit.simulator.presets import PRESETS as PUBLISHED
from benchkit.simulator.step_time import Batch, LinearStepTime

FAST = {"step_base_us": 2_000, "step_prefill_us_per_token": 50, "step_decode_us_per_request": 10}


@pytest.fixture
def preset_file(tmp_path):
    def write(**changes):
        path = tmp_path / "mine.yaml"
        content = {"kind": "benchkit-preset", "version": 1, "name": "mine"}
        content["settings"] = {"engine": "vllm", **FAST}
        path.write_text(yaml.safe_dump(content | changes), encoding="utf-8")
        return str(path)

    return write


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_every_preset_gives_an_engine(preset):
    """Whatever it is called, it can be built, and its context fits its cache."""
    settings = settings_for(preset, {})
    settings.build_engine()
    assert not settings.kv_blocks or settings.max_model_len <= settings.kv_blocks * settings.block_size


@pytest.mark.parametrize(
    ("flags", "name", "value"),
    [
        ({"max-num-seqs": 7}, "max_num_seqs", 7),
        ({"max_num_batched_tokens": 512}, "max_num_batched_tokens", 512),
        ({"max-model-len": 4_096}, "max_model_len", 4_096),
        ({"block-size": 32}, "block_size", 32),
        ({"num-gpu-blocks-override": 9_000}, "kv_blocks", 9_000),
        ({"long-prefill-token-threshold": 64}, "long_prefill_token_threshold", 64),
        ({"stream-interval": 4}, "stream_interval", 4),
        ({"enable-prefix-caching": False}, "prefix_caching", False),
        ({"no-enable-prefix-caching": True}, "prefix_caching", False),
        ({"no_enable_prefix_caching": False}, "prefix_caching", True),
        ({"no-async-scheduling": True}, "schedule_ahead", False),
        ({"served-model-name": "mine"}, "model", "mine"),
    ],
)
def test_vllms_flags_mean_what_they_mean_there(flags, name, value):
    """A server's flags can be kept when it is replaced by its simulation."""
    settings = settings_for("h100-llama-3.1-8b", flags)
    assert getattr(settings, name) == value


def test_the_command_line_takes_vllms_spellings():
    """Each setting has a flag under our name, and under vLLM's where that is another."""
    line = ["--num-gpu-blocks-override", "5", "--no-enable-prefix-caching", "--max-num-seqs", "3"]
    options = vars(parser().parse_args(line))
    assert (options["kv_blocks"], options["prefix_caching"], options["max_num_seqs"]) == (5, False, 3)


def test_a_linear_step_replaces_that_of_a_preset_only_if_it_is_given():
    """Other settings of the preset stay; without any of the step's the published model is used."""
    published = settings_for("h100-llama-3.1-8b", {"max_num_seqs": 8})
    assert published.build_engine()._config.step_time == PUBLISHED["h100-llama-3.1-8b"].step_time
    given = settings_for("h100-llama-3.1-8b", {"step_base_us": 5_000.0, "step_kv_us_per_token": 0.0})
    step_time = given.build_engine()._config.step_time
    assert isinstance(step_time, LinearStepTime)
    assert step_time.duration_us(Batch(0, 0, 1_000, 0, 1)) == 5_000
    assert given.kv_blocks == published.kv_blocks


def test_a_given_linear_step_reaches_the_servers_process():
    """Also where a value is that of the default, so that only the step's model says that it was given."""
    with simulated.start(preset="h100-llama-3.1-8b", server_args={"step_base_us": 8_000.0}) as server:
        command = server.state.command
    assert "--step-model=" in command


@pytest.mark.parametrize(
    ("preset", "arguments", "error", "says"),
    [
        ("simple", {"engine": "simple"}, InvalidParameter, "'fixed' or 'vllm'"),
        ("simple", {"step_model": "h900"}, InvalidParameter, "there are a100-llama-3.1-8b"),
        (
            "simple",
            {"step_model": "l4-llama-3.2-1b", "step_base_us": 9},
            InvalidParameter,
            "the one or the other",
        ),
        (
            "simple",
            {"kv_blocks": 9, "num_gpu_blocks_override": 9},
            InvalidParameter,
            "kv_blocks is given twice",
        ),
        ("simple", {"num_gpu_block_override": 9}, UnknownParameter, "'num_gpu_blocks_override'"),
        ("simple", {"no_max_num_seqs": True}, UnknownParameter, "'max_num_seqs'"),
        ("simple", {"no-enable-prefix-caching": "yes"}, InvalidParameter, "type bool"),
        ("simple", {"draft_acceptance": 1.5}, InvalidParameter, "server_args: draft_acceptance"),
        (
            "simple",
            {"kv_blocks": 10, "max_model_len": 200},
            InvalidParameter,
            "lower max_model_len or raise kv_b",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_way_out(preset, arguments, error, says):
    """The error names the setting and what there is."""
    with pytest.raises(error, match=says):
        settings_for(preset, arguments)


def test_a_context_that_nobody_asked_for_is_cut_to_the_cache():
    """A small cache needs no second setting; drafted tokens need room, too."""
    assert settings_for("simple", {"kv_blocks": 10}).max_model_len == 160
    assert settings_for("simple", {"kv_blocks": 10, "draft_tokens": 3}).max_model_len == 157


def test_a_preset_file_is_laid_under_what_is_given(preset_file):
    """What is said beside the preset wins."""
    path = preset_file()
    assert settings_for(path, {}).step_base_us == 2_000
    assert settings_for(path, {"step_base_us": 7}).step_base_us == 7


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"kind": "other"}, InvalidParameter, r"mine\.yaml.*benchkit calibrate"),
        ({"version": 9}, InvalidParameter, r"mine\.yaml.*version 9"),
        ({"settings": {"step_bas_us": 3}}, UnknownParameter, r"mine\.yaml.*did you mean 'step_base_us'"),
        ({"settings": {"step_base_us": -3}}, InvalidParameter, r"mine\.yaml.*above 0"),
        (
            {"settings": {"engine": "vllm", "draft_acceptance": 2}},
            InvalidParameter,
            r"mine\.yaml.*draft_accept",
        ),
        (
            {"settings": {"engine": "vllm", "kv_blocks": 4, "max_model_len": 65}},
            InvalidParameter,
            r"mine\.yaml.*holds 64 tokens",
        ),
        ({"settings": []}, InvalidParameter, r"mine\.yaml.*no mapping"),
    ],
)
def test_a_preset_file_that_says_nonsense_is_refused(preset_file, changes, error, says):
    """The error names the file and the setting."""
    with pytest.raises(error, match=says):
        settings_for(preset_file(**changes), {})


def test_a_preset_file_that_is_not_there_is_refused():
    """With its name and why."""
    with pytest.raises(InvalidParameter, match=r"nowhere\.yaml cannot be read: No such file"):
        settings_for("nowhere.yaml", {})
