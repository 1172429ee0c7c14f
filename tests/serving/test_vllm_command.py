"""How vLLM is started, with a stand-in for it where a server is needed."""

import os
import sys
from pathlib import Path

import pytest

from benchkit.errors import InvalidParameter, ServerStartError
from benchkit.serving import process, simulated, start, vllm
from benchkit.serving.startup import measure_startup

STAND_IN = """
import http.server, json, os, sys
print("arguments", sys.argv[1:], flush=True)
key = os.environ.get("VLLM_API_KEY")
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer(200, b"")
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        if key and self.headers["authorization"] != "Bearer " + key:
            self.answer(401, b'{"error": "Unauthorized"}')
        elif "--broken" in sys.argv:
            self.answer(200, b'data: {"error": {"message": "no engine"}}\\n\\n')
        else:
            self.answer(200, b'data: {"choices": [{"text": "a"}]}\\n\\ndata: [DONE]\\n\\n')
    def answer(self, status, body):
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
port = int(sys.argv[sys.argv.index("--port") + 1])
http.server.HTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """A `vllm` that can be imported, without metadata, as the CPU build is."""
    package = tmp_path / "lib" / "vllm" / "entrypoints" / "openai"
    package.mkdir(parents=True)
    (package / "api_server.py").write_text(STAND_IN)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "lib"))
    monkeypatch.setenv("BENCHKIT_VLLM_PYTHON", sys.executable)
    monkeypatch.delenv("VLLM_API_KEY", raising=False)
    return tmp_path


def test_flags():
    """Names become flags; switches, lists and mappings are written as vLLM reads them."""
    arguments = {
        "max_num_seqs": 64,
        "enforce-eager": True,
        "enable_prefix_caching": False,
        "served_for": ["a", "b"],
        "speculative_config": {"method": "ngram"},
        "dtype": None,
    }

    assert vllm.flags(arguments) == [
        *("--max-num-seqs", "64"),
        "--enforce-eager",
        "--no-enable-prefix-caching",
        *("--served-for", "a", "b"),
        *("--speculative-config", '{"method": "ngram"}'),
    ]


def test_the_module_form_where_the_command_is_broken(stand_in):
    """Without metadata the module is started; flags, name and port reach it; its start is timed in stages."""
    with start(backend="vllm", served_model="org/model", server_args={"max_num_seqs": 64}) as server:
        command = server.state.command
        stages = server.startup
        log = server.log_tail()

    assert command[1:4] == ("-m", "vllm.entrypoints.openai.api_server", "--model")
    assert (
        f"'org/model', '--served-model-name', 'org/model', '--host', '127.0.0.1', '--port', '{server.port}'"
        in log
    )
    assert "'--max-num-seqs', '64'" in log
    assert 0 < stages.process_s < stages.healthy_s < stages.first_token_s
    assert stages.warm_ttft_ms > 0


def test_the_command_where_it_works(stand_in):
    """With metadata for `vllm` and its script beside the interpreter, `vllm serve` is the command."""
    (stand_in / "lib" / "vllm-1.0.dist-info").mkdir()
    (stand_in / "lib" / "vllm-1.0.dist-info" / "METADATA").write_text("Name: vllm\nVersion: 1.0\n")
    folder = stand_in / "bin"
    folder.mkdir()
    python = folder / "python"
    python.symlink_to(Path(os.path.realpath(sys.executable)))
    assert vllm.serve_command(str(python))[:2] == [str(python), "-m"]
    (folder / "vllm").touch()

    assert vllm.serve_command(str(python)) == [str(folder / "vllm"), "serve"]


def test_the_key_is_used_and_never_shown(stand_in, monkeypatch):
    """A key in VLLM_API_KEY is sent with our own requests; as a flag it is refused."""
    monkeypatch.setenv("VLLM_API_KEY", "sesame")
    with start(backend="vllm", served_model="m") as server:
        assert server.startup.warm_ttft_ms > 0
        assert "sesame" not in str(server.state)
    with pytest.raises(InvalidParameter, match="VLLM_API_KEY"):
        start(backend="vllm", served_model="m", server_args={"api-key": "sesame"})


def test_a_server_that_is_healthy_but_broken_is_stopped(stand_in):
    """When the first request fails the error shows the answer, and no server is left."""
    with pytest.raises(ServerStartError, match="no engine"):
        start(backend="vllm", served_model="m", server_args={"broken": True})

    assert not [state for state in process.list_servers() if state.backend == "vllm"]


def test_missing_vllm_has_a_remedy(monkeypatch):
    """An interpreter without vLLM, or none at all, is an error that says what to do."""
    monkeypatch.setenv("BENCHKIT_VLLM_PYTHON", sys.executable)
    monkeypatch.setenv("PYTHONPATH", "")
    with pytest.raises(ServerStartError, match=r"pip install 'benchkit\[vllm\]'"):
        start(backend="vllm", served_model="m")
    monkeypatch.setenv("BENCHKIT_VLLM_PYTHON", "/no/python")
    with pytest.raises(ServerStartError, match="BENCHKIT_VLLM_PYTHON is '/no/python'"):
        start(backend="vllm", served_model="m")


@pytest.mark.parametrize(
    ("served_model", "arguments", "says"),
    [("", {}, "tiny-random"), ("m", {"port": 1}, "parameter port"), ("m", {"host": "0.0.0.0"}, "127.0.0.1")],
)
def test_what_benchkit_sets_itself(served_model, arguments, says):
    """A missing model, and flags that are parameters of ours, are refused with the name to use."""
    with pytest.raises(InvalidParameter, match=says):
        start(backend="vllm", served_model=served_model, server_args=arguments)


def test_the_tiny_model_needs_its_libraries(tmp_path, monkeypatch):
    """Where the tiny model cannot be made, the interpreter's own error is shown and no half of it is kept."""
    monkeypatch.setenv("BENCHKIT_CACHE_DIR", str(tmp_path))
    bare = tmp_path / "bare"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -S -I "$@"\n')
    bare.chmod(0o755)
    with pytest.raises(ServerStartError, match="No module named"):
        vllm.make_tiny_model(str(bare))

    assert list(tmp_path.iterdir()) == [bare]


def test_a_cold_start_is_told_from_a_warm_one():
    """The stages show the first token's extra time, which later ones do not have."""
    with simulated.start(server_args={"ttft_ms": 10, "cold_ms": 200}) as server:
        stages = measure_startup(server)

    assert stages.cold_ttft_ms >= 210
    assert 10 <= stages.warm_ttft_ms < stages.cold_ttft_ms
    assert stages.healthy_s < stages.first_token_s
