"""Commands over many loads, as a user types them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchkit.cli import main
from benchkit.records import sweeps

ROOT = Path(__file__).parents[1]
ARTICLE = ["capacity", str(ROOT / "params" / "article_sweep.csv"), "--slo", "p99 ttft < 80ms"]


def invoke(*arguments):
    """`benchkit …` in this process."""
    return CliRunner().invoke(main, list(map(str, arguments)))


def test_a_dry_sweep_says_what_it_will_take(tmp_path):
    """Loads, time and cost, and no folder."""
    done = invoke("sweep", "-p", "points", 3, "-p", "price_per_hour", 36, "--out", tmp_path, "--dry-run")
    assert done.exit_code == 0
    assert "3 poisson rates evenly spaced" in " ".join(done.stdout.split())
    assert "cost:" in done.stdout
    assert list(tmp_path.iterdir()) == []
    told = json.loads(invoke("sweep", "-p", "points", 3, "--dry-run", "--json").stdout)
    assert told["points"] == 5


def test_a_sweep_that_makes_no_sense_is_refused():
    """One line with the parameter and the remedy, and exit code 2."""
    done = invoke("sweep", "-p", "rate", 3)
    assert done.exit_code == 2
    assert "'rate' is set by each point of a sweep" in done.stderr


def test_the_articles_question_on_the_command_line():
    """4.43 requests/s a server and 12 servers as measured; about 4.6 and 11 estimated, without an interval."""
    done = invoke(*ARTICLE, "--target-rps", 50)
    assert done.exit_code == 0
    assert "needs 12 servers as measured and 11 servers estimated" in done.stdout.replace("need ", "needs ")
    assert "4.43" in done.stdout
    told = json.loads(invoke(*ARTICLE, "--target-rps", 50, "--json").stdout)
    assert json.dumps(told)


def test_an_objective_that_nothing_meets_gives_no_servers():
    """The refusal says so, and the exit code is 1."""
    done = invoke("capacity", ARTICLE[1], "--slo", "p99 ttft < 1ms", "--target-rps", 50)
    assert done.exit_code == 1
    assert done.stdout.startswith("No number of servers.")


def test_another_tools_file_becomes_a_run_and_goes_out_again(tmp_path):
    """Imported, its folder is found and exported in vLLM's format with the numbers that it came with."""
    source = ROOT / "tests" / "data" / "vllm_bench_detailed.json"
    done = invoke("import", source, "--out", tmp_path)
    assert done.exit_code == 0
    (folder,) = tmp_path.iterdir()
    out = invoke("export", folder)
    assert out.exit_code == 0
    before, after = json.loads(source.read_text()), json.loads(out.stdout)
    assert after["completed"] == before["completed"]
    assert after["mean_ttft_ms"] == pytest.approx(before["mean_ttft_ms"], rel=1e-6)
    written = tmp_path / "report.json"
    assert invoke("export", folder, "--format", "llm-d", "-o", written).exit_code == 0
    assert json.loads(written.read_text())["version"].startswith("0.2")


def test_a_file_of_nobody_is_refused(tmp_path):
    """The error names the file and what is wrong with it."""
    file = tmp_path / "some.json"
    file.write_text('{"hello": 1}')
    done = invoke("import", file)
    assert done.exit_code == 1
    assert "some.json" in done.stderr


def test_an_interrupted_sweep_is_kept_and_goes_on(tmp_path):
    """Ctrl-C ends the point under way, keeps what there is, exits with 130, and leaves nothing running."""
    values = {"preset": "simple", "rates": "[5, 9]", "duration_s": 30, "warmup_s": 0, "input_tokens": 16}
    arguments = [str(part) for name, value in values.items() for part in ("-p", name, value)]
    command = [
        sys.executable,
        "-m",
        "benchkit",
        "sweep",
        *arguments,
        "-p",
        "output_tokens",
        "4",
        "--out",
        str(tmp_path),
    ]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    for line in process.stderr:
        if "sending load" in line:
            break
    import time

    time.sleep(2.0)
    process.send_signal(2)
    _, told = process.communicate(timeout=30)
    assert process.returncode == 130, told
    (folder,) = sweeps.list_sweeps(tmp_path)
    manifest = sweeps.read(folder)
    assert manifest["status"] == "interrupted"
    assert manifest["points"][0]["status"] == "interrupted"
    assert sweeps.unfinished(tmp_path, manifest["parameters_hash"]) == folder
