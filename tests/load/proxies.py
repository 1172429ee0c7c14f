"""A reverse proxy that meddles with what passes: holds requests, cuts answers, keeps them until they are whole.

``python proxies.py TARGET`` runs one; it says its port on stdout and ends with its stdin. It is a process of its own,
so that what it does to the times is what it was told to, whatever the test's process is busy with.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import random
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


@dataclass
class Meddling:
    """What is done to completions; the answers to everything else pass as they are."""

    hold_ms: float = 0
    """How long a request is kept before it goes on."""
    slope_ms_per_s: float = 0
    """By how much that grows, from when it was told on."""
    wobble_ms: float = 0
    """Standard deviation of a chance that is added, at least of zero in all."""
    buffer: bool = False
    """Whether an answer is kept until it is whole."""
    cut_every: int = 0
    """Every so many answers are cut off after three reads; 0 = none."""


_CUT_AFTER = 3
_CONTROL = "/meddle"


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    target = ""
    meddling = Meddling()
    since_s = 0.0
    numbers = itertools.count(1)

    def handle_error(self, *_: object) -> None:
        """A client or a server that went away is no error of the proxy's."""

    def hold_s(self) -> float:
        """How long the next request is kept."""
        told = self.meddling
        grown_ms = told.slope_ms_per_s * (time.monotonic() - self.since_s)
        return max(0.0, told.hold_ms + grown_ms + random.gauss(0, told.wobble_ms)) / 1e3


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.upstream = http.client.HTTPConnection(self.server.target, timeout=60)

    def finish(self) -> None:
        self.upstream.close()
        with contextlib.suppress(OSError):
            super().finish()

    def do_GET(self) -> None:
        self._pass_on(b"", Meddling())

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.path == _CONTROL:
            self.server.since_s = time.monotonic()
            self.server.meddling = Meddling(**json.loads(body))
            self.send_response(204)
            self.end_headers()
        elif self.path.endswith("completions"):
            time.sleep(self.server.hold_s())
            self._pass_on(body, self.server.meddling)
        else:
            self._pass_on(body, Meddling())

    def _pass_on(self, body: bytes, meddling: Meddling) -> None:
        kept = {name: value for name, value in self.headers.items() if name.lower() != "host"}
        self.upstream.request(self.command, self.path, body, kept)
        answer = self.upstream.getresponse()
        self.send_response(answer.status)
        self.send_header("content-type", answer.headers.get("content-type", ""))
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        cut = bool(meddling.cut_every) and next(self.server.numbers) % meddling.cut_every == 0
        pieces = iter(lambda: answer.read1(65_536), b"")
        for number, piece in enumerate([b"".join(pieces)] if meddling.buffer else pieces):
            if cut and number >= _CUT_AFTER:
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                self.upstream.close()
                return
            if piece:
                self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *_: object) -> None:
        pass


@dataclass(frozen=True)
class Proxy:
    """A proxy that runs."""

    url: str

    def meddle(self, **changes: float) -> None:
        """Has it do this from now on, and nothing else; names are those of ``Meddling``."""
        body = json.dumps(asdict(Meddling(**changes))).encode()
        request = urllib.request.Request(self.url + _CONTROL, body, {"content-type": "application/json"})
        urllib.request.urlopen(request, timeout=10).close()


@contextlib.contextmanager
def proxy_before(target: str) -> Iterator[Proxy]:
    """A proxy before a server, until the block ends."""
    command = [sys.executable, __file__, urlsplit(target).netloc]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        yield Proxy(f"http://127.0.0.1:{int(process.stdout.readline())}")
    finally:
        process.kill()
        process.communicate()


def main() -> None:
    """Serves until stdin ends."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.target = sys.argv[1]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_port, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
