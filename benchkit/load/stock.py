"""httpx's own client as a load sender: for proxies and comparisons; it has no kernel times and costs far more.

Its answers are taped decoded. Sending and connecting are stamped through httpcore's trace events.
"""

from __future__ import annotations

import asyncio
import json
import ssl
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
        self._tasks.pop(key, None)
        if failure is None:
            tape.append(Kind.END, key, time.monotonic_ns())
        exchange.done(exchange, status, failure)


def _failure(error: httpx.HTTPError) -> Failure:
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, OSError | ssl.SSLError):
        cause = cause.__cause__ or cause.__context__
    connecting = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
    if isinstance(error, httpx.TimeoutException):
        return Failure(ErrorKind.TIMEOUT, str(error) or type(error).__name__)
    if cause is not None:
        return failure_of(cause, connecting=connecting)
    if isinstance(error, httpx.RemoteProtocolError):
        malformed = "illegal" in str(error).lower() or "invalid" in str(error).lower()
        return Failure(ErrorKind.MALFORMED if malformed else ErrorKind.CUT, str(error))
    return Failure(ErrorKind.CONNECT if connecting else ErrorKind.CLIENT, str(error) or type(error).__name__)
