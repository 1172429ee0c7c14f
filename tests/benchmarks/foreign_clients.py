"""Other load generators as clients of a paced server: how each is started, and when it says that tokens came.

vLLM's and AIPerf's files hold the time of every token of every request, and name the request as the server knew it.
GuideLLM's hold that of the first tokens without a name: they are laid beside the server's in order, which is the
kindest way. Times since 1970 are turned into CLOCK_MONOTONIC by the difference of both clocks when the file is read.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchkit.serving import paced
from benchkit.serving.paced.log import PacedLog

PROMPT_TOKENS = 16
_PREFIX = "other-"
_TIMEOUT_S = 600.0
_OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
_NS = 1e9
_VLLM_BENCH = Path(__file__).parents[1] / "vllm" / "vllm_bench.py"


class Told(NamedTuple):
    """When a client says that the tokens of a request came."""

    request_id: str
    """As the server knew it; "" where the client names none."""
    token_ns: NDArray[np.int64]
    """CLOCK_MONOTONIC; of the first token alone where the client tells no more."""


class Asked(NamedTuple):
    """One load for a client."""

    url: str
    streams: int
    requests: int
    answer_tokens: int
    tokenizer: str
    """Folder of one, which the server has no use for."""


@dataclass(frozen=True)
class Client:
    """Another tool, as it is installed here."""

    name: str
    version: str
    start: Callable[[Asked, Path], None]
    """Sends a load; leaves its files in the folder."""
    read: Callable[[Path], list[Told]]

    def run(self, asked: Asked, folder: Path) -> list[Told]:
        """What it says of one load."""
        self.start(asked, folder)
        return self.read(folder)


def vllm(python: str) -> Client:
    """``vllm bench serve`` of the vLLM that an interpreter has."""

    def start(asked: Asked, folder: Path) -> None:
        arguments = [
            *("--backend", "openai", "--base-url", asked.url, "--endpoint", "/v1/completions"),
            *("--model", asked.tokenizer, "--served-model-name", paced.MODEL),
            *("--tokenizer", asked.tokenizer),
            *("--dataset-name", "random", "--random-input-len", str(PROMPT_TOKENS)),
            *("--random-output-len", str(asked.answer_tokens), "--ignore-eos"),
            *("--max-concurrency", str(asked.streams), "--num-prompts", str(asked.requests)),
            # A request to see whether the server is there would set its stages off.
            *("--ready-check-timeout-sec", "0", "--num-warmups", "0", "--disable-tqdm"),
            *("--save-result", "--save-detailed", "--result-dir", str(folder)),
            *("--result-filename", "vllm.json", "--request-id-prefix", _PREFIX),
        ]
        _run([python, str(_VLLM_BENCH)], folder, stdin=json.dumps(arguments) + "\n")

    return Client("vllm bench serve", _version_in(python, "vllm"), start, read_vllm)


def read_vllm(folder: Path) -> list[Told]:
    """What ``vllm bench serve --save-detailed`` wrote."""
    result = json.loads((folder / "vllm.json").read_text(encoding="utf-8"))
    rows = zip(result["start_times"], result["ttfts"], result["itls"], result["errors"], strict=True)
    return [
        # perf_counter is CLOCK_MONOTONIC on Linux.
        Told(f"{_PREFIX}{number}", _ns(start + ttft + np.concatenate([[0.0], np.cumsum(gaps)])))
        for number, (start, ttft, gaps, error) in enumerate(rows)
        if not error
    ]


def aiperf(program: str) -> Client:
    """AIPerf."""

    def start(asked: Asked, folder: Path) -> None:
        command = [
            *(program, "profile", "--model", paced.MODEL, "--url", asked.url),
            *("--endpoint-type", "completions", "--streaming", "--tokenizer", asked.tokenizer),
            *("--isl", str(PROMPT_TOKENS), "--osl", str(asked.answer_tokens)),
            *("--concurrency", str(asked.streams), "--request-count", str(asked.requests)),
            *("--artifact-dir", str(folder), "--export-level", "records", "--ui", "none"),
        ]
        # Told to stay offline, it asks the hub's cache for a folder's name.
        _run(command, folder, offline=False)

    return Client("AIPerf", _version_beside(program, "aiperf"), start, read_aiperf)


def read_aiperf(folder: Path) -> list[Told]:
    """What AIPerf wrote, a line a record."""
    (file,) = folder.rglob("profile_export.jsonl")
    offset_ns = _since_1970_ns()
    records = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    return [_of_aiperf(record, offset_ns) for record in records if not record.get("error")]


def _of_aiperf(record: dict[str, Any], offset_ns: int) -> Told:
    metadata, metrics = record["metadata"], record["metrics"]
    first_ms = metrics["time_to_first_token"]["value"]
    gaps_ms = metrics.get("inter_chunk_latency", {}).get("value") or []
    after_ms = first_ms + np.concatenate([[0.0], np.cumsum(gaps_ms)])
    start_ns = int(metadata["request_start_ns"]) - offset_ns
    return Told(metadata.get("x_request_id") or "", start_ns + np.round(after_ms * 1e6).astype(np.int64))


def guidellm(program: str) -> Client:
    """GuideLLM, from 0.8 on: before, its command was another."""

    def start(asked: Asked, folder: Path) -> None:
        settings: dict[str, dict[str, Any]] = {
            "backend": {
                "kind": "openai_http",
                "target": asked.url,
                "model": paced.MODEL,
                "request_format": "/v1/completions",
            },
            "profile": {"kind": "concurrent", "streams": [asked.streams]},
            "constraint": {"kind": "max_requests", "count": asked.requests},
            "tokenizer": {"kind": "huggingface_auto", "model": asked.tokenizer},
            "data": {
                "kind": "synthetic_text",
                "prompt_tokens": PROMPT_TOKENS,
                "output_tokens": asked.answer_tokens,
            },
            "output": {"kind": "json", "path": str(folder / "benchmarks.json")},
        }
        command = [program, "run", "--disable-console"]
        for name, value in settings.items():
            command += [f"--{name}", json.dumps(value)]
        _run(command, folder)

    return Client("GuideLLM", _version_beside(program, "guidellm"), start, read_guidellm)


def read_guidellm(folder: Path) -> list[Told]:
    """What GuideLLM wrote; it tells the time of first tokens alone."""
    result = json.loads((folder / "benchmarks.json").read_text(encoding="utf-8"))
    offset_ns = _since_1970_ns()
    return [
        Told("", _ns([request["info"]["timings"]["first_token_iteration"]]) - offset_ns)
        for benchmark in result["benchmarks"]
        for request in benchmark["requests"]["successful"]
    ]


def found(
    *, vllm_python: str | None, guidellm_program: str | None, aiperf_program: str | None
) -> list[Client]:
    """The clients that are installed here; a program is looked for on the PATH where none is named."""
    clients = [vllm(vllm_python)] if vllm_python else []
    for make, named, usual in (
        (guidellm, guidellm_program, "guidellm"),
        (aiperf, aiperf_program, "aiperf"),
    ):
        program = shutil.which(named or usual)
        if program is None and named:
            raise SystemExit(f"there is no program {named}")
        clients += [make(program)] if program else []
    return clients


def errors_ms(told: Iterable[Told], log: PacedLog) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """When each token was sent, and how much later the client says that it came; in the order of sending."""
    told = list(told)
    pairs = _by_name(told, log) if all(each.request_id for each in told) else _in_order(told, log)
    sent, late = [np.empty(0, np.int64)], [np.empty(0)]
    for row, stamps in pairs:
        times = log.sent_ns[log.offsets[row] : log.offsets[row + 1]][: stamps.size]
        sent.append(times)
        late.append((stamps[: times.size] - times) / 1e6)
    sent_ns, late_ms = np.concatenate(sent), np.concatenate(late)
    order = np.argsort(sent_ns, kind="stable")
    return sent_ns[order], late_ms[order]


def _by_name(told: Sequence[Told], log: PacedLog) -> list[tuple[int, NDArray[np.int64]]]:
    rows = {name: row for row, name in enumerate(log.requests)}
    known = [(rows[each.request_id], each.token_ns) for each in told if each.request_id in rows]
    if told and not known:
        raise SystemExit(f"the server knows none of the client's requests, such as {told[0].request_id!r}")
    return known


def _in_order(told: Sequence[Told], log: PacedLog) -> list[tuple[int, NDArray[np.int64]]]:
    answered = np.flatnonzero(np.diff(log.offsets) > 0)
    rows = answered[np.argsort(log.sent_ns[log.offsets[:-1][answered]], kind="stable")]
    stamps = sorted((each.token_ns for each in told), key=lambda each: int(each[0]))
    if len(stamps) > rows.size:
        raise SystemExit(f"the client tells of {len(stamps)} answers, and the server sent {rows.size}")
    # Those that the client gave up in the end have no line in its file: they are the last ones.
    return [(int(row), each[:1]) for row, each in zip(rows, stamps, strict=False)]


def _run(command: list[str], folder: Path, stdin: str = "", *, offline: bool = True) -> None:
    environment = {**os.environ, **(dict.fromkeys(_OFFLINE, "1") if offline else {})}
    with (folder / "log").open("w", encoding="utf-8") as log:
        done = subprocess.run(
            command,
            input=stdin,
            stdout=log,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
            env=environment,
        )
    if done.returncode:
        tail = (folder / "log").read_text(encoding="utf-8", errors="replace")[-2000:]
        raise SystemExit(f"{command[0]} ended with code {done.returncode}:\n{tail}")


def _ns(seconds: Any) -> NDArray[np.int64]:
    return np.round(np.asarray(seconds) * _NS).astype(np.int64)


def _since_1970_ns() -> int:
    return time.time_ns() - time.monotonic_ns()


def _version_in(python: str, package: str) -> str:
    # Builds for CPUs come under a name of their own.
    code = (
        "import importlib.metadata as m; "
        f"print(m.version((m.packages_distributions().get({package!r}) or [{package!r}])[0]))"
    )
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.strip()


def _version_beside(program: str, package: str) -> str:
    """The version of a package of the environment in which its program lies."""
    python = Path(program).resolve().parent / "python"
    if python.exists():
        return _version_in(str(python), package)
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "of unknown version"
