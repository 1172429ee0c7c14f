"""Starts vLLM's OpenAI server with any flags, on a given model or on a tiny one made on the spot."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchkit.errors import InvalidParameter, ServerStartError
from benchkit.serving import tiny_model
from benchkit.serving.process import ServerProcess, free_port, launch
from benchkit.serving.startup import measure_startup

PYTHON_VARIABLE = "BENCHKIT_VLLM_PYTHON"
CACHE_VARIABLE = "BENCHKIT_CACHE_DIR"
TINY_RANDOM = "tiny-random"
TINY_MODEL_ARGS: Mapping[str, Any] = {"load_format": "dummy", "max_model_len": 2048}
"""Flags for the tiny model, where ``server_args`` doesn't have them."""
_KEY_VARIABLE = "VLLM_API_KEY"
_OURS = {
    "host": "benchkit serves on 127.0.0.1 only",
    "port": "give the parameter port",
    "model": "give the parameter served_model",
    "api_key": f"a key on a command line can be read by others: set the variable {_KEY_VARIABLE} instead",
}
_PROBE = """
import importlib.metadata, importlib.util, json
try:
    version = importlib.metadata.version("vllm")
except importlib.metadata.PackageNotFoundError:
    version = ""
print(json.dumps({"module": importlib.util.find_spec("vllm") is not None, "version": version}))
"""


def start(
    *,
    served_model: str,
    port: int = 0,
    server_args: Mapping[str, Any] | None = None,
    detached: bool = False,
    stop_after_s: float = 0,
    timeout_s: float = 900.0,
) -> ServerProcess:
    """Starts vLLM and gives it when it has served its first requests; ``startup`` has the stages of that.

    The interpreter is the one that ``BENCHKIT_VLLM_PYTHON`` names, else this one. If ``VLLM_API_KEY`` is set,
    the server asks for that key.

    Args:
        served_model: A model's name or folder; ``tiny-random`` makes a tiny one with random weights.
        port: Port of 127.0.0.1; 0 = a free one.
        server_args: Flags: ``{"max_num_seqs": 64, "enforce_eager": True}`` is ``--max-num-seqs 64
            --enforce-eager``; ``False`` gives the ``--no-`` form, lists several values, mappings JSON.
        detached: Whether the server outlives this process.
        stop_after_s: Seconds from its start after which it ends by itself; 0 = never.
        timeout_s: How long it may take to become healthy.

    Raises:
        InvalidParameter: No model, or a flag that benchkit sets itself.
        ServerStartError: vLLM is not installed, or it died or was not healthy in time.
    """
    if not served_model:
        raise InvalidParameter("served_model is empty: name a model or its folder, or give 'tiny-random'")
    arguments = {name.lstrip("-").replace("-", "_"): value for name, value in (server_args or {}).items()}
    for name, reason in _OURS.items():
        if name in arguments:
            raise InvalidParameter(f"server_args: {name} is not to be set here: {reason}")
    python = interpreter()
    base = serve_command(python)
    environment = {"VLLM_NO_USAGE_STATS": "1", "PATH": _path_with(Path(python).parent)}
    model = served_model
    if served_model == TINY_RANDOM:
        model = str(make_tiny_model(python))
        arguments = {**TINY_MODEL_ARGS, **arguments}
        environment |= {"HF_HUB_OFFLINE": "1"}
        environment |= {"VLLM_CPU_KVCACHE_SPACE": os.environ.get("VLLM_CPU_KVCACHE_SPACE", "1")}
    name = str(arguments.pop("served_model_name", served_model))
    port = port or free_port()
    command = [*base, model, "--served-model-name", name, "--host", "127.0.0.1", "--port", str(port)]
    server = launch(
        [*command, *flags(arguments)],
        backend="vllm",
        served_model=name,
        port=port,
        detached=detached,
        stop_after_s=stop_after_s,
        environment=environment,
        timeout_s=timeout_s,
    )
    try:
        key_variable = _KEY_VARIABLE if os.environ.get(_KEY_VARIABLE) else ""
        server.startup = measure_startup(server, api_key_env=key_variable)
    except BaseException:
        server.stop()
        raise
    return server


def interpreter() -> str:
    """The Python that has vLLM: ``BENCHKIT_VLLM_PYTHON``, else this one.

    Raises:
        ServerStartError: The variable names no program.
    """
    chosen = os.environ.get(PYTHON_VARIABLE, "")
    if not chosen:
        return sys.executable
    found = shutil.which(chosen)
    if found is None:
        raise ServerStartError(f"{PYTHON_VARIABLE} is {chosen!r}: there is no such program")
    return found


def serve_command(python: str) -> list[str]:
    """The command of that interpreter's vLLM up to the model: ``vllm serve``, or the module if it is broken.

    Builds under another package name (as for CPUs) have no metadata for ``vllm``; their command fails on it.

    Raises:
        ServerStartError: It has no vLLM.
    """
    try:
        found = subprocess.run([python, "-c", _PROBE], capture_output=True, text=True, timeout=60, check=True)
        facts = json.loads(found.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise ServerStartError(f"{python} is no working Python: {error}") from error
    if not facts["module"]:
        raise ServerStartError(
            f"vLLM is not installed for {python}: pip install 'benchkit[vllm]', "
            f"or name a Python that has it in {PYTHON_VARIABLE}"
        )
    script = Path(python).parent / "vllm"
    if facts["version"] and script.exists():
        return [str(script), "serve"]
    return [python, "-m", "vllm.entrypoints.openai.api_server", "--model"]


def flags(arguments: Mapping[str, Any]) -> list[str]:
    """Command-line flags for a mapping of names (with ``_`` or ``-``) to values."""
    out: list[str] = []
    for name, value in arguments.items():
        flag = name.replace("_", "-")
        if value is None:
            continue
        if isinstance(value, bool):
            out.append(f"--{flag}" if value else f"--no-{flag}")
        elif isinstance(value, Mapping):
            out += [f"--{flag}", json.dumps(value)]
        elif isinstance(value, list | tuple):
            out += [f"--{flag}", *map(str, value)]
        else:
            out += [f"--{flag}", str(value)]
    return out


def make_tiny_model(python: str) -> Path:
    """The folder of the tiny model, made by that interpreter if this version of it was not yet.

    Raises:
        ServerStartError: The interpreter lacks ``transformers`` or ``tokenizers``, or the disk is full.
    """
    source = Path(tiny_model.__file__)
    version = hashlib.sha256(source.read_bytes()).hexdigest()[:12]
    folder = cache_dir() / f"{TINY_RANDOM}-{version}"
    if folder.exists():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="making-") as making:
        draft = Path(making) / "model"
        draft.mkdir()
        environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
        made = subprocess.run(
            [python, str(source), str(draft)], capture_output=True, text=True, env=environment, check=False
        )
        if made.returncode != 0:
            raise ServerStartError(f"the tiny model could not be made by {python}:\n{made.stderr[-2000:]}")
        try:
            draft.rename(folder)
        except OSError:
            if not folder.exists():  # else another process was faster
                raise
    return folder


def cache_dir() -> Path:
    """Where made models are kept: ``BENCHKIT_CACHE_DIR``, else the user's cache folder."""
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return Path(chosen)
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "benchkit"
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "benchkit"


def _path_with(folder: Path) -> str:
    """PATH with the interpreter's own programs first: vLLM calls some of them by name."""
    return os.pathsep.join([str(folder), os.environ.get("PATH", os.defpath)])
