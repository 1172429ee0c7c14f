"""Something to measure: servers that benchkit starts, finds again and stops."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchkit.serving.process import ServerProcess


def start(
    *,
    backend: str = "simulated",
    served_model: str = "",
    preset: str = "fixed",
    port: int = 0,
    server_args: Mapping[str, Any] | None = None,
    detached: bool = False,
    stop_after_s: float = 0,
) -> ServerProcess:
    """Starts the server that the serving parameters describe, and gives it when it is healthy.

    The names are those of ``parameters.ServingParameters``. The server ends with this process unless it is
    ``detached``.

    Raises:
        InvalidParameter: There is no such backend, preset or setting.
        ServerStartError: The server could not be started; the text holds its log's tail.
    """
    from benchkit.errors import InvalidParameter

    if backend == "simulated":
        from benchkit.serving import simulated

        return simulated.start(
            preset=preset,
            port=port,
            server_args=server_args,
            served_model=served_model,
            detached=detached,
            stop_after_s=stop_after_s,
        )
    if backend == "vllm":
        from benchkit.serving import vllm

        return vllm.start(
            served_model=served_model,
            port=port,
            server_args=server_args,
            detached=detached,
            stop_after_s=stop_after_s,
        )
    raise InvalidParameter(f"backend is {backend!r}; give 'simulated' or 'vllm'")
