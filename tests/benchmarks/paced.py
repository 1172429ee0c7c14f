"""Runs the paced C server and reads its log: the truth that measurements are held against.

In `with paced_server(core=1, tokens=200) as server:` load goes to `server.url`; `server.log()`, in the block
and after it, says when what was received and sent.
"""

import contextlib
import http.client
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from compiled import compiled
from numpy.typing import NDArray

_HEAD = np.dtype(
    [
        ("magic", "S8"),
        ("requests", "<u8"),
        ("tokens", "<u8"),
        ("ttft_ns", "<i8"),
        ("gap_ns", "<i8"),
        ("epoch_offset_ns", "<i8"),
    ]
)
_RECORD = np.dtype(
    [
        ("id", "S64"),
        ("accepted_ns", "<i8"),
        ("arrived_ns", "<i8"),
        ("ended_ns", "<i8"),
        ("first", "<u8"),
        ("connection", "<u4"),
        ("planned", "<u4"),
        ("written", "<u4"),
        ("blocked", "<u4"),
    ]
)


@dataclass(frozen=True)
class PacedLog:
    """What the server received and sent; all times are CLOCK_MONOTONIC in ns.

    `requests` is a structured array in order of arrival (fields of `struct record` in paced_server.c: `id`,
    `accepted_ns`, `arrived_ns`, `ended_ns` (0 = cut short or in flight), `first`, `connection`, `planned`,
    `written`, `blocked`). `before_ns` and `after_ns`, shape (all tokens,), surround each token's write; those
    of request i are `[first, first + written)`. Adding `epoch_offset_ns` gives CLOCK_REALTIME, as of the
    log's writing.
    """

    ttft_ns: int
    gap_ns: int
    epoch_offset_ns: int
    requests: NDArray[np.void]
    before_ns: NDArray[np.int64]
    after_ns: NDArray[np.int64]

    @property
    def ids(self) -> list[str]:
        """Each request's X-Request-Id, or the number of its arrival."""
        return [raw.decode() for raw in self.requests["id"].tolist()]

    @property
    def arrived_ns(self) -> NDArray[np.int64]:
        """When each request's last byte had been read, shape (requests,), ascending."""
        return self.requests["arrived_ns"].astype(np.int64)

    def tokens_of(self, index: int) -> slice:
        """The slice of `before_ns` and `after_ns` that is request `index`'s."""
        first = int(self.requests["first"][index])
        return slice(first, first + int(self.requests["written"][index]))

    def owners(self) -> NDArray[np.int64]:
        """The index of the request of each token, shape (all tokens,)."""
        return np.repeat(np.arange(len(self.requests)), self.requests["written"])

    def positions(self) -> NDArray[np.int64]:
        """The number of each token in its request, from 0, shape (all tokens,)."""
        first = self.requests["first"].astype(np.int64)
        return np.arange(len(self.before_ns)) - first[self.owners()]

    def due_ns(self) -> NDArray[np.int64]:
        """When each token should have been written, shape (all tokens,)."""
        return self.arrived_ns[self.owners()] + self.ttft_ns + self.positions() * self.gap_ns

    def lateness_ns(self) -> NDArray[np.int64]:
        """How far each write began behind its schedule, shape (all tokens,)."""
        return self.before_ns - self.due_ns()

    def ttft_true_ns(self) -> NDArray[np.int64]:
        """From arrival to just after the first token's write, shape (requests with a token,)."""
        some = self.requests["written"] > 0
        return self.after_ns[self.requests["first"][some].astype(np.int64)] - self.arrived_ns[some]

    def gaps_ns(self) -> NDArray[np.int64]:
        """Between the ends of successive writes of one request: one fewer than its tokens, in their order."""
        return np.diff(self.after_ns)[self.positions()[1:] > 0]


def read_log(path: Path) -> PacedLog:
    """The log that the server wrote at `path`.

    Raises:
        ValueError: not such a log, or cut short.
    """
    raw = path.read_bytes()
    if len(raw) < _HEAD.itemsize or raw[:8] != b"PACEDLG1":
        raise ValueError(f"{path} is no log of the paced server")
    head = np.frombuffer(raw, _HEAD, 1)[0]
    requests, tokens = int(head["requests"]), int(head["tokens"])
    times_at = _HEAD.itemsize + requests * _RECORD.itemsize
    if len(raw) != times_at + 16 * tokens:
        raise ValueError(f"{path} is cut short: {len(raw)} bytes for {requests} requests and {tokens} tokens")
    return PacedLog(
        int(head["ttft_ns"]),
        int(head["gap_ns"]),
        int(head["epoch_offset_ns"]),
        np.frombuffer(raw, _RECORD, requests, _HEAD.itemsize),
        np.frombuffer(raw, np.int64, tokens, times_at),
        np.frombuffer(raw, np.int64, tokens, times_at + 8 * tokens),
    )


@dataclass
class PacedServer:
    """A running paced server; after the `with` block only its log is left."""

    port: int
    pid: int
    log_path: Path
    final: PacedLog | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        """Base URL, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    def log(self) -> PacedLog:
        """Everything up to now (the server stands still while it writes), or up to its end if it has stopped.

        Raises:
            RuntimeError: the server could not write its log.
        """
        if self.final is not None:
            return self.final
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        with contextlib.closing(connection):
            connection.request("GET", "/log")
            answer = connection.getresponse()
            if answer.status != 200:
                raise RuntimeError(f"no log from the paced server: {answer.read().decode()}")
            answer.read()
            return read_log(self.log_path)


@contextlib.contextmanager
def paced_server(
    *, core: int | None = None, ttft_ms: float = 50, gap_ms: float = 20, tokens: int = 200
) -> Iterator[PacedServer]:
    """A paced server on a free port of 127.0.0.1, pinned to `core` if given, stopped at the end of the block.

    It also ends with this process, however that dies. `max_tokens` in a request overrides `tokens`.

    Raises:
        NoCompilerError: there is no C compiler.
        RuntimeError: it did not start, or ended with an error; its own message is on stderr.
    """
    program = compiled("paced_server")
    with tempfile.TemporaryDirectory(prefix="paced-") as folder:
        log_path = Path(folder) / "log"
        command = [str(program), "0", "--log", str(log_path), "--until-stdin-closes"]
        command += ["--ttft-ms", str(ttft_ms), "--gap-ms", str(gap_ms), "--tokens", str(tokens)]
        command += [] if core is None else ["--core", str(core)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            try:
                line = process.stdout.readline() if process.stdout else ""
                if not line.startswith("port "):
                    raise RuntimeError("the paced server did not start")
                server = PacedServer(int(line.split()[1]), process.pid, log_path)
                yield server
            finally:
                process.terminate()
                try:
                    code = process.wait(30)
                except subprocess.TimeoutExpired:
                    process.kill()
                    raise
        if code:
            raise RuntimeError(f"the paced server ended with code {code}")
        server.final = read_log(log_path)
