"""Times how a server comes up: healthy, its first token, and how fast a token comes once it is warm."""

from __future__ import annotations

import http.client
import json
import os
import statistics
import time
from dataclasses import dataclass

from benchkit.errors import ServerStartError
from benchkit.serving.process import ServerProcess

WARM_REQUESTS = 3
_TIMEOUT_S = 300.0


@dataclass(frozen=True, slots=True)
class Startup:
    """The stages of a server's start; the first three count from the moment it was asked for."""

    process_s: float
    """Its process exists."""
    healthy_s: float
    """``/health`` answers 200."""
    first_token_s: float
    """The first token of its first request is here."""
    cold_ttft_ms: float
    """Time to first token of that request."""
    warm_ttft_ms: float
    """Median time to first token of the next ones, each with another prompt."""


def measure_startup(server: ServerProcess, *, api_key_env: str = "") -> Startup:
    """Sends a fresh server its first requests, one at a time, and gives the stages of its start.

    Only a server that has not served before gives a cold first token.

    Raises:
        ServerStartError: The server is healthy but does not answer a request.
    """
    cold_ttft_s = _time_to_first_token(server, 0, api_key_env)
    first_token_s = time.monotonic() - server.started
    warm = [_time_to_first_token(server, number, api_key_env) for number in range(1, WARM_REQUESTS + 1)]
    return Startup(
        process_s=server.process_s,
        healthy_s=server.healthy_s,
        first_token_s=first_token_s,
        cold_ttft_ms=cold_ttft_s * 1e3,
        warm_ttft_ms=statistics.median(warm) * 1e3,
    )


def _time_to_first_token(server: ServerProcess, number: int, api_key_env: str) -> float:
    """Seconds from sending a short streamed request to its first event."""
    body = {
        "model": server.state.served_model,
        "prompt": f"{number} The stages of a start are timed by a few short requests.",
        "max_tokens": 2,
        "temperature": 0.0,
        "stream": True,
        "ignore_eos": True,
    }
    headers = {"Content-Type": "application/json"}
    if api_key_env:
        headers["Authorization"] = f"Bearer {os.environ.get(api_key_env, '')}"
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=_TIMEOUT_S)
    try:
        connection.connect()
        sent = time.monotonic()
        connection.request("POST", "/v1/completions", json.dumps(body), headers)
        answer = connection.getresponse()
        first = answer.readline()
        elapsed_s = time.monotonic() - sent
        rest = answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise ServerStartError(
            f"the server at {server.url} is healthy but broke off its first requests: {error}.\n"
            f"End of its log ({server.log_path}):\n{server.log_tail()}"
        ) from error
    finally:
        connection.close()
    if answer.status != http.client.OK or not first.startswith(b"data:") or b'"error"' in first:
        said = (first + rest)[:500].decode("utf-8", "replace")
        raise ServerStartError(
            f"the server at {server.url} is healthy, but its first answer has status {answer.status}: {said}"
        )
    return elapsed_s
