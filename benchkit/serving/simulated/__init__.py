"""The embedded server: a paced or simulated engine behind a real socket."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchkit.serving.process import ServerProcess


def start(
    *,
    preset: str = "fixed",
    port: int = 0,
    server_args: Mapping[str, Any] | None = None,
    served_model: str = "",
    detached: bool = False,
    stop_after_s: float = 0,
    api_key_env: str = "",
    timeout_s: float = 20.0,
) -> ServerProcess:
    """Starts the embedded server in a process of its own and gives it when it is healthy.

    Args:
        preset: ``fixed`` (constant times), ``simple`` (batches with a step time), a name of ``simulator.presets``
            (hardware and model), or the path of a preset file.
        port: Port of 127.0.0.1; 0 = a free one.
        server_args: Settings laid over the preset's; their names and defaults are in ``settings.Settings``.
        served_model: Name of the model; "" = the setting's.
        detached: Whether the server outlives this process.
        stop_after_s: Seconds from its start after which it ends by itself; 0 = never.
        api_key_env: Name of the environment variable with the key that it asks for; "" = none.
        timeout_s: How long it may take to become healthy, beyond its ``startup_s``.

    Raises:
        ParameterError: A preset, name or value that does not exist.
        ServerStartError: It could not listen there or did not become healthy.
    """
    from benchkit.errors import ServerStartError
    from benchkit.serving.process import launch
    from benchkit.serving.simulated.listening import listening_socket
    from benchkit.serving.simulated.settings import Settings, settings_for

    arguments = {name.replace("-", "_"): value for name, value in (server_args or {}).items()}
    if served_model:
        arguments["model"] = served_model
    settings = settings_for(preset, arguments)
    try:
        listener = listening_socket("127.0.0.1", port)
    except OSError as error:
        raise ServerStartError(
            f"cannot listen on 127.0.0.1:{port}: {error.strerror}; port 0 takes a free one"
        ) from None
    if preset.endswith((".yaml", ".yml")):
        preset = str(Path(preset).resolve())
    command = [sys.executable, "-m", "benchkit.serving.simulated", "--preset", preset]
    command += ["--listen-fd", str(listener.fileno())]
    if api_key_env:
        command += ["--api-key-env", api_key_env]
    known = settings_for(preset, {})
    for field in dataclasses.fields(Settings):
        value = getattr(settings, field.name)
        if value != getattr(known, field.name):
            flag = field.name.replace("_", "-")
            command.append(
                f"--{'no-' * (value is False)}{flag}" + ("" if isinstance(value, bool) else f"={value}")
            )
    return launch(
        command,
        backend="simulated",
        served_model=settings.model,
        port=listener.getsockname()[1],
        listener=listener,
        detached=detached,
        stop_after_s=stop_after_s,
        timeout_s=timeout_s + settings.startup_s,
    )
