"""The command line, as a user types it."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import httpx
import pytest

import benchkit
from benchkit.cli.measure import exit_code as _exit_code

QUICK = [
    "-p",
    "load",
    "concurrent",
    "-p",
    "concurrency",
    "2",
    "-p",
    "warmup_s",
    "0",
    "-p",
    "duration_s",
    "1",
    "-p",
    "input_tokens",
    "32",
    "-p",
    "output_tokens",
    "8",
]


def command(*arguments, **options):
    """`benchkit …` in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "benchkit", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
        **options,
    )


def test_help_is_quick_and_imports_only_the_command_line():
    """`--help` takes under half a second and imports none of the heavy packages."""
    code = (
        "import sys; from benchkit.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
        "heavy = {'pandas', 'numpy', 'pydantic', 'httpx', 'altair', 'scipy', 'IPython', 'pyarrow'} & set(sys.modules)\n"
        "print('heavy:', sorted(heavy))"
    )
    best = min(_seconds(lambda: command("--help")) for _ in range(5))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "heavy: []" in done.stdout
    assert best < 0.5


def _seconds(call):
    began = time.monotonic()
    call()
    return time.monotonic() - began


@pytest.mark.parametrize("name", ["run", "report", "doctor", "serve", "servers", "stop", "recover", "demo"])
def test_every_command_explains_itself(name):
    """Each command has a help text."""
    done = command(name, "--help")
    assert done.returncode == 0
    assert "Usage: " in done.stdout


def test_run_puts_the_result_on_stdout_and_progress_on_stderr(embedded, tmp_path):
    """stdout is the result block alone; the run's folder is named on stderr."""
    done = command("run", *QUICK, "-p", "url", embedded.url, "--out", tmp_path)

    assert done.returncode in {0, 3}
    assert done.stdout.startswith("============ Serving Benchmark Result")
    assert str(next(tmp_path.iterdir()).name) in done.stderr


def test_run_prints_its_summary_as_json(embedded, tmp_path):
    """--json prints summary.json, and nothing else, on stdout."""
    done = command("run", *QUICK, "-p", "url", embedded.url, "--out", tmp_path, "--json")

    assert json.loads(done.stdout) == benchkit.load_run(next(tmp_path.iterdir())).summary


def test_parameters_come_from_files_and_from_the_line(embedded, tmp_path):
    """-f files first, -p over them; a parameter means the same in both."""
    file = tmp_path / "mine.yaml"
    file.write_text(
        "load: poisson\nrate: 30\nduration_s: 1\nwarmup_s: 0\ninput_tokens: 32\noutput_tokens: 8\n"
        "slo: [p50 ttft < 5s]\n"
    )
    done = command(
        "run", "-f", file, "-p", "rate", "20", "-p", "url", embedded.url, "--out", tmp_path / "out"
    )

    assert done.returncode in {0, 3}, done.stderr
    parameters = benchkit.load_run(next((tmp_path / "out").iterdir())).manifest["parameters"]
    assert (parameters["load"], parameters["rate"], parameters["slo"]) == ("poisson", 20, ["p50 ttft < 5s"])


@pytest.mark.parametrize(
    ("pairs", "said"),
    [
        (["reqest_rate", "8"], "did you mean 'rate'"),
        (["rate", "abc"], "rate"),
        (["slo", "p99 tttft < 80ms"], "ttft"),
        (["rate", "8"], "concurrent"),
    ],
)
def test_bad_parameters_exit_with_2_before_anything_happens(tmp_path, pairs, said):
    """Unknown names, wrong types, impossible combinations: one line on stderr, exit code 2, no folder."""
    done = command("run", "-p", *pairs, "--out", tmp_path)

    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_unreachable_server_exits_with_1(tmp_path):
    """A server that is not there is a failure with a remedy, not a traceback."""
    done = command("run", "-p", "url", "http://127.0.0.1:9", "--out", tmp_path)
    assert done.returncode == 1
    assert "127.0.0.1:9" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("status", "validity", "objective", "code"),
    [
        ("complete", "valid", "meets", 0),
        ("complete", "suspect", "meets", 0),
        ("complete", "invalid", "fails", 3),
        ("complete", "valid", "fails", 4),
        ("complete", "valid", "undecided", 4),
        ("failed", "valid", "meets", 1),
        ("interrupted", "invalid", "fails", 130),
    ],
)
def test_what_a_run_was_decides_the_exit_code(status, validity, objective, code):
    """Interrupted and failed come before invalid, invalid before a missed objective."""
    done = SimpleNamespace(
        manifest={"status": status}, verdict=validity, summary={"slo": [{"verdict": objective}]}
    )
    assert _exit_code(done, check_slo=True) == code
    assert _exit_code(done, check_slo=False) == (0 if code == 4 else code)


def test_a_missed_objective_exits_with_4_only_when_asked(embedded, tmp_path):
    """--check-slo turns a missed objective into exit code 4; a machine that spoils a run gets two more tries."""
    pairs = ["-p", "url", embedded.url, "-p", "slo", "p50 ttft < 1ms", "-p", "output_tokens_spread", "0.5"]

    def valid(*more):
        for _ in range(3):
            done = command("run", *QUICK, *pairs, "--out", tmp_path, *more)
            if done.returncode != 3:
                break
        return done

    assert valid("--check-slo").returncode == 4
    assert valid().returncode == 0


def test_dry_run_sends_nothing(tmp_path):
    """--dry-run says requests, tokens and time, and asks no server."""
    done = command(
        "run", "--dry-run", "-p", "load", "constant", "-p", "rate", "4", "-p", "url", "http://127.0.0.1:9"
    )
    assert done.returncode == 0
    assert re.search(r"requests: 120 \(512 prompt and 256 answer tokens each\)", done.stdout)
    assert re.search(r"tokens: +61,440 in, 30,720 out", done.stdout)
    mixed = command("run", "--dry-run", "-p", "load", "constant", "-p", "input_tokens_spread", "0.5").stdout
    assert "answer tokens on average)" in mixed
    as_json = json.loads(
        command("run", "--dry-run", "--json", "-p", "load", "constant", "-p", "rate", "4").stdout
    )
    assert as_json["requests"] == 120


def test_doctor_says_what_a_server_is(embedded):
    """`doctor` lists its findings; a server that is not there is exit code 1 with a remedy."""
    fine = command("doctor", embedded.url)
    assert fine.returncode == 0
    assert "It can be measured" in fine.stdout
    gone = command("doctor", "http://127.0.0.1:9")
    assert gone.returncode == 1
    assert "→" in gone.stdout + gone.stderr or "127.0.0.1:9" in gone.stdout + gone.stderr


def test_servers_are_started_listed_and_stopped(tmp_path):
    """serve (detached), servers, stop: a server outlives its command until it is stopped."""
    environment = {**os.environ, "BENCHKIT_STATE_DIR": str(tmp_path)}
    served = command("serve", "-p", "detached", "True", "-p", "stop_after_s", "60", env=environment)
    assert served.returncode == 0, served.stderr
    url = served.stdout.strip()
    listed = json.loads(command("servers", "--json", env=environment).stdout)
    assert [each["url"] for each in listed] == [url]
    stopped = command("stop", listed[0]["name"], env=environment)
    assert stopped.returncode == 0
    assert command("servers", "--json", env=environment).stdout.strip() == "[]"
    unknown = command("stop", "nobody", env=environment)
    assert unknown.returncode == 1
    assert "nobody" in unknown.stderr


def test_serve_ends_with_ctrl_c(tmp_path):
    """A server in the foreground ends with its command, and leaves nothing behind."""
    environment = {**os.environ, "BENCHKIT_STATE_DIR": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-m", "benchkit", "serve"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        try:
            url = process.stdout.readline().strip()
            assert url.startswith("http://127.0.0.1:")
            time.sleep(1.0)
            assert process.poll() is None
            assert httpx.get(url + "/health").status_code == 200
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=20)
        finally:
            process.kill()
    assert process.returncode == 130
    assert command("servers", "--json", env=environment).stdout.strip() == "[]"


def test_recover_leaves_a_finished_run_alone(embedded, tmp_path):
    """`recover` on a run that is complete changes nothing."""
    command("run", *QUICK, "-p", "url", embedded.url, "--out", tmp_path)
    (folder,) = tmp_path.iterdir()
    before = (folder / "manifest.json").read_bytes()
    done = command("recover", folder)
    assert done.returncode == 0
    assert (folder / "manifest.json").read_bytes() == before


def test_an_unknown_run_is_an_error_with_the_nearest_name(tmp_path):
    """A run that is not there: exit code 1 and no traceback."""
    done = command("report", tmp_path / "nothing")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
