"""httpx's own client as a load sender, for proxies and comparisons: no kernel times, and far dearer.

Its answers are taped decoded. Sending and connecting are stamped through httpcore's trace events.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import time
from typing import Any

import httpx

from benchkit.load.sender import Exchange, Failure, failure_of
from benchkit.load.spec import LoadSpec
from benchkit.load.tape import SENT_DATA, Kind, TapeWriter
from benchkit.load.tls import make_context
from benchkit.records.kinds import ErrorKind


class StockSender:
    """Sends each exchange through one ``httpx.AsyncClient``."""

    name = "httpx"
    kernel_times = False

    def __init__(self, loop: asyncio.AbstractEventLoop, tape: TapeWriter, spec: LoadSpec) -> None:
        self._loop, self._tape = loop, tape
        host = f"[{spec.host}]" if ":" in spec.host else spec.host
        self._url = f"{spec.scheme}://{host}:{spec.port}{spec.path}"
        keep = None if spec.reuse else 0
        self._client = httpx.AsyncClient(
            verify=make_context(verify=spec.verify_tls) if spec.scheme == "https" else False,
            timeout=spec.timeout_ns / 1e9,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=keep),
            trust_env=not _is_local(spec.host),
        )
        self._tasks: dict[int, asyncio.Task[None]] = {}

    def send(self, exchange: Exchange) -> None:
        """See ``sender.Sender``."""
        self._tasks[exchange.key] = self._loop.create_task(self._run(exchange))

    def abandon(self, exchange: Exchange) -> None:
        """See ``sender.Sender``."""
        task = self._tasks.pop(exchange.key, None)
        if task is not None:
            task.cancel()

    async def close(self) -> None:
        """See ``sender.Sender``."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._client.aclose()

    async def _run(self, exchange: Exchange) -> None:
        key, tape = exchange.key, self._tape
        head, _, body = exchange.payload.partition(b"\r\n\r\n")
        fields = (line.partition(b": ") for line in head.split(b"\r\n")[1:])
        headers = [(name, value) for name, _, value in fields]

        async def trace(event: str, _info: dict[str, Any]) -> None:
            now = time.monotonic_ns()
            if event == "connection.connect_tcp.started":
                tape.append(Kind.CONNECT, key, now)
            elif event in {"connection.connect_tcp.complete", "connection.start_tls.complete"}:
                tape.append(Kind.CONNECTED, key, now)
            elif event == "http11.send_request_body.complete":
                tape.append(
                    Kind.SENT, key, now, SENT_DATA.pack(0, exchange.waited_ns), detail=exchange.attempt
                )
                exchange.sent_ns = now

        status = 0
        failure: Failure | None = None
        try:
            async with self._client.stream(
                "POST", self._url, headers=headers, content=body, extensions={"trace": trace}
            ) as response:
                status = response.status_code
                tape.append(
                    Kind.HEAD,
                    key,
                    time.monotonic_ns(),
                    json.dumps({"content-type": response.headers.get("content-type", "")}).encode(),
                    detail=status,
                )
                async for data in response.aiter_raw():
                    tape.append(Kind.BODY, key, time.monotonic_ns(), data)
        except httpx.HTTPError as error:
            failure = _failure(error)
        except Exception as error:  # noqa: BLE001 - an exchange that nobody ends would hang the run
            failure = failure_of(error, connecting=not exchange.sent_ns)
        self._tasks.pop(key, None)
        if failure is None:
            tape.append(Kind.END, key, time.monotonic_ns())
        exchange.done(exchange, status, failure)


def _is_local(host: str) -> bool:
    """Whether a host is this machine: no proxy of the environment stands before it."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _failure(error: httpx.HTTPError) -> Failure:
    connecting = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
    if isinstance(error, httpx.TimeoutException):
        return Failure(ErrorKind.TIMEOUT, str(error) or type(error).__name__)
    cause = _system_error(error)
    if cause is not None:
        return failure_of(cause, connecting=connecting)
    text = str(error) or type(error).__name__
    if isinstance(error, httpx.RemoteProtocolError):
        # h11 says which rule was broken; of an end that comes too early, httpcore and h11 say who ended it.
        ended = "disconnected" in text or "peer closed" in text
        return Failure(ErrorKind.CUT if ended else ErrorKind.MALFORMED, text)
    if isinstance(error, httpx.NetworkError):
        return Failure(ErrorKind.CONNECT if connecting else ErrorKind.RESET, text)
    return Failure(ErrorKind.CLIENT, f"{type(error).__name__}: {text}")


def _system_error(error: BaseException) -> OSError | None:
    """The operating system's or TLS's own error under what three libraries made of it."""
    found: OSError | None = None
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, BaseExceptionGroup):
            cause = cause.exceptions[0]
        if isinstance(cause, OSError) and (cause.errno is not None or found is None):
            found = cause
        cause = cause.__cause__ or cause.__context__
    return found
