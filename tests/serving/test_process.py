"""Server processes: how they start, are found again, and end."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import psutil
import pytest

from benchkit.errors import InvalidParameter, ServerNotFound, ServerStartError, UnknownParameter
from benchkit.serving import process, simulated, start


def wait_until(holds, timeout_s=10.0):
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def gone(pids):
    return not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie" for pid in pids)


def family(server_pid):
    """The guard and the server behind it."""
    return [server_pid, *(child.pid for child in psutil.Process(server_pid).children(recursive=True))]


STARTER = """
import sys, time
from benchkit.serving import simulated
server = simulated.start(detached={detached}, stop_after_s={stop_after_s})
print(server.pid, server.port, flush=True)
{then}
"""


def started_elsewhere(*, detached=False, stop_after_s=0, then="time.sleep(60)"):
    """A server started by another process; gives that process, the guard's pid and the port."""
    code = STARTER.format(detached=detached, stop_after_s=stop_after_s, then=then)
    other = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    pid, port = map(int, other.stdout.readline().split())
    return other, pid, port


def test_a_server_has_a_session_a_log_and_a_state_file(server, state_folder):
    """It leads a process group of its own, writes to a file, and its state file says what it is."""
    state = json.loads((state_folder / f"simulated-{server.port}.json").read_text())

    assert os.getpgid(server.pid) == server.pid != os.getpgrp()
    assert os.getsid(server.pid) == server.pid
    assert '"listening"' in server.log_tail()
    assert state["process_group"] == state["pid"] == server.pid
    assert (state["mode"], state["backend"], state["served_model"]) == ("owned", "simulated", "simulated")
    assert state["url"] == server.url
    assert server.healthy_s < 5


def test_servers_are_listed_and_found(server):
    """By name, port or process id, as text or number."""
    assert server.state in process.list_servers()
    for key in (server.state.name, server.port, str(server.port), server.pid):
        assert process.find_server(key) == server.state
    with pytest.raises(ServerNotFound, match=server.state.name):
        process.find_server("other")


def test_stopping_leaves_nothing(state_folder):
    """After stop the processes, the state file and the port are free; stopping again does nothing."""
    with simulated.start() as server:
        pids = family(server.pid)
        assert len(pids) == 2
    server.stop()

    assert gone(pids)
    assert not (state_folder / f"simulated-{server.port}.json").exists()
    assert not process.answers_health(server.port)


def test_a_stopped_server_that_ignores_sigterm_is_killed(tmp_path):
    """What is left of the group after the grace gets SIGKILL."""
    port = process.free_port()
    code = (
        "import http.server, signal, sys\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "class H(http.server.BaseHTTPRequestHandler):\n"
        "    def do_GET(self):\n        self.send_response(200)\n        self.end_headers()\n"
        "http.server.HTTPServer(('127.0.0.1', int(sys.argv[1])), H).serve_forever()\n"
    )
    command = [sys.executable, "-c", code, str(port)]
    server = process.launch(command, backend="vllm", served_model="stubborn", port=port)
    pids = family(server.pid)
    server.stop(grace_s=0.3)

    assert gone(pids)


def test_a_server_that_dies_shows_its_log():
    """When the command ends before it is healthy, the error has its exit code and the end of its log."""
    command = [sys.executable, "-c", "print('no such device'); raise SystemExit(7)", "--api-key", "sesame"]
    with pytest.raises(ServerStartError) as caught:
        process.launch(command, backend="vllm", served_model="m", port=process.free_port())

    assert "exit code 7" in str(caught.value)
    assert "no such device" in str(caught.value)
    assert "sesame" not in str(caught.value)
    assert not [state for state in process.list_servers() if state.served_model == "m"]


def test_a_server_that_never_answers_is_given_up():
    """A command that runs on without being healthy is stopped when its time is over."""
    command = [sys.executable, "-c", "import time; print('loading', flush=True); time.sleep(60)"]
    with pytest.raises(ServerStartError, match=r"not healthy after 0.5 s(.|\n)*loading"):
        process.launch(command, backend="vllm", served_model="m", port=process.free_port(), timeout_s=0.5)


def test_a_program_that_does_not_exist():
    """A command that cannot be started is an error that names it."""
    with pytest.raises(ServerStartError, match="no-such-program"):
        process.launch(["no-such-program"], backend="vllm", served_model="m", port=process.free_port())


def test_a_taken_port_is_said(server):
    """A port on which something listens is refused before anything is started."""
    with pytest.raises(ServerStartError, match=f"127.0.0.1:{server.port}"):
        simulated.start(port=server.port)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_an_owned_server_ends_with_its_owner(number):
    """Even kill -9 of the process that started it leaves no server."""
    other, pid, port = started_elsewhere()
    pids = family(pid)
    assert process.answers_health(port)
    other.send_signal(number)
    other.communicate()

    wait_until(lambda: gone(pids))


def test_an_owned_server_ends_when_its_owner_exits():
    """A script that forgets to stop its server leaves none."""
    other, pid, _ = started_elsewhere(then="")
    other.communicate(timeout=10)

    wait_until(lambda: gone([pid]))


def test_an_owned_server_survives_the_thread_that_started_it():
    """The owner is the process: a server started in a thread stays when the thread ends."""
    then = "sys.stdin.read()"
    code = STARTER.format(detached=False, stop_after_s=0, then="")
    threaded = (
        "import threading, sys\n"
        f"t = threading.Thread(target=exec, args=({code!r}, {{}}))\n"
        f"t.start(); t.join()\n{then}"
    )
    with subprocess.Popen(
        [sys.executable, "-c", threaded], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        pid, port = map(int, other.stdout.readline().split())
        time.sleep(0.7)
        alive = process.answers_health(port)
        other.stdin.close()
        other.wait(10)

    assert alive
    wait_until(lambda: gone([pid]))


def test_a_detached_server_stays_and_can_be_stopped():
    """It outlives who started it, is listed for others, and stops by its port."""
    other, pid, port = started_elsewhere(detached=True, then="")
    other.communicate(timeout=10)
    pids = family(pid)
    time.sleep(0.7)

    assert process.answers_health(port)
    assert process.stop(port).mode == "detached"
    assert gone(pids)
    with pytest.raises(ServerNotFound):
        process.stop(port)


def test_a_detached_server_can_stop_by_itself():
    """After stop_after_s it ends, and its state file is dropped by the next listing."""
    server = simulated.start(detached=True, stop_after_s=2)
    wait_until(lambda: not server.is_alive())

    assert server.state not in process.list_servers()
    assert "has had its 2 s" in server.log_tail()


def test_killing_the_guard_ends_the_server():
    """Even without its guard a server does not stay behind."""
    server = simulated.start()
    pids = family(server.pid)
    os.kill(server.pid, signal.SIGKILL)

    wait_until(lambda: gone(pids))
    server.stop()


def test_a_recycled_process_id_is_not_ours(state_folder):
    """A state file whose process began at another time is stale: it is dropped, and nobody is killed."""
    with simulated.start() as server:
        path = state_folder / f"{server.state.name}.json"
        values = server.state.as_dict() | {"create_time": server.state.create_time - 100}
        path.write_text(json.dumps(values))
        with pytest.raises(ServerNotFound):
            process.stop(server.port)

        assert not path.exists()
        assert process.answers_health(server.port)


def test_broken_state_files_are_dropped(state_folder):
    """A state file that cannot be read is removed and hurts nobody."""
    broken = state_folder / "simulated-1.json"
    broken.write_text("{")

    assert all(state.port != 1 for state in process.list_servers())
    assert not broken.exists()


def test_old_logs_are_cleared_away(state_folder):
    """Starting a server removes logs of a week ago that no running server writes to."""
    old, new = state_folder / "simulated-2.log", state_folder / "simulated-3.log"
    for log in (old, new):
        log.write_text("")
    os.utime(old, (time.time() - 8 * 86_400,) * 2)
    with simulated.start():
        pass

    assert (old.exists(), new.exists()) == (False, True)


def test_the_serving_parameters_start_a_server():
    """The dispatching start takes the parameters by their names."""
    with start(
        backend="simulated", served_model="mine", preset="simple", server_args={"max-num-seqs": 2}
    ) as server:
        models = httpx.get(f"{server.url}/v1/models", trust_env=False).json()
        assert models["data"][0]["id"] == server.state.served_model == "mine"
    with pytest.raises(InvalidParameter, match="'simulated' or 'vllm'"):
        start(backend="other")


@pytest.mark.parametrize(
    ("preset", "arguments", "error", "says"),
    [
        ("fast", {}, InvalidParameter, "h100-llama-3.1-8b, .*simple"),
        ("fixed", {"ttft": 3}, UnknownParameter, "did you mean 'ttft_ms'"),
        ("fixed", {"ttft_ms": "3"}, InvalidParameter, "type float"),
        ("fixed", {"max_num_seqs": True}, InvalidParameter, "type int"),
        ("fixed", {"max_model_len": 0}, InvalidParameter, "at least 1"),
        ("simple", {"step_base_us": 0}, InvalidParameter, "above 0"),
    ],
)
def test_wrong_settings_are_refused_before_anything_starts(preset, arguments, error, says):
    """An error names the setting, the reason, and the nearest that exists."""
    with pytest.raises(error, match=says):
        simulated.start(preset=preset, server_args=arguments)


def test_the_module_says_where_it_listens(tmp_path):
    """Run by hand it prints its address as a line of JSON and ends on SIGTERM."""
    with subprocess.Popen(
        [sys.executable, "-m", "benchkit.serving.simulated"], stdout=subprocess.PIPE, text=True
    ) as run:
        line = json.loads(run.stdout.readline())
        healthy = process.answers_health(line["port"])
        run.terminate()
        code = run.wait(10)

    assert (line["event"], healthy, code) == ("listening", True, 0)


def test_the_server_imports_little():
    """What slows a start down stays out of the server's process."""
    code = "import sys, benchkit.serving.simulated.__main__; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()

    assert not {"pandas", "pydantic", "scipy", "numpy", "httpx", "aiohttp", "pyarrow", "psutil"} & set(loaded)


def test_log_tail_of_a_long_log(tmp_path):
    """Only the end of a log is read, and a log that is missing is empty."""
    log = tmp_path / "log"
    log.write_text("".join(f"line {number}\n" for number in range(100_000)))

    assert process.tail(log, 2) == "line 99998\nline 99999"
    assert process.tail(Path("/nowhere/log"), 2) == ""
