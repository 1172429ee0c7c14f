"""Holds benchkit's numbers against the server's own and against those of ``vllm bench serve``."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq

import benchkit
from benchkit.analysis.definitions import per_request
from benchkit.serving import vllm
from benchkit.telemetry.prometheus import ServerMean, window_mean
from benchkit.telemetry.sample import Sample

TTFT = "vllm:time_to_first_token_seconds"
LATENCY = "vllm:e2e_request_latency_seconds"
TPOT = "vllm:request_time_per_output_token_seconds"
GAP = "vllm:inter_token_latency_seconds"
ALWAYS = (-(10**18), 10**18)
"""A window that holds all samples: from before the load to after its last answer."""
EVEN = 0.05
"""How far a pace may differ for raw numbers to be compared: the server's own between two tools' runs, and that
which ``vllm bench serve`` states from the server's own."""
_TITLES = {
    "tpot_ms": "TPOT",
    "vllm_tpot_ms": "TPOT by vLLM's formula",
    "median_tpot_ms": "TPOT, median",
    "ttft_ms": "TTFT",
    "latency_ms": "latency",
    "server_tpot_ms": "server's own TPOT",
    "server_ttft_ms": "server's own TTFT",
}


def samples_of(run: benchkit.Run) -> list[Sample]:
    """What the server said of itself beside the run."""
    return [Sample(**row) for row in pq.read_table(run.path / "telemetry.parquet").to_pylist()]


def server_mean(samples: Sequence[Sample], name: str, window: tuple[int, int] = ALWAYS) -> ServerMean:
    """The server's own mean in ms, and of how many."""
    found = window_mean(samples, name, *window)
    assert found is not None, f"the server has no {name}"
    return found._replace(mean=found.mean * 1e3)


class Bounds(NamedTuple):
    """Between which two a mean lies, in ms: some events' times are only known to lie between two reads."""

    low: float
    high: float

    def hold(self, value: float, *, slack: float) -> bool:
        """Whether a value lies between them, or beyond by at most that share of it."""
        return self.low * (1 - slack) <= value <= self.high * (1 + slack)


@dataclass(frozen=True, slots=True)
class FirstTokens:
    """What is known of first tokens and of the pace after them.

    A client that slept reads several events at once; only the last has its own time. So a first token's stamp is
    its latest possible time; the earliest is that of the read before it. Where each had its own read, both are one.
    """

    ttft_ms: Bounds
    gap_ms: Bounds
    """Mean time a token after the first: all decoding time over all tokens that came in it."""


def first_tokens(run: benchkit.Run) -> FirstTokens:
    """The bounds of a run in which every request is ok."""
    requests, chunks = run.requests, run.stored.chunks
    sent, headers, stamped = (
        requests[name].to_numpy(dtype=float) / 1e6 for name in ("sent_ns", "headers_ns", "first_token_ns")
    )
    last = chunks.ns[chunks.offsets[1:] - 1] / 1e6
    read_before = np.where(headers < stamped, headers, sent)
    earliest = np.where(chunks.shared[chunks.offsets[:-1]], read_before, stamped)
    tokens = (requests.output_tokens.to_numpy(dtype=float) - 1).sum()
    return FirstTokens(
        ttft_ms=Bounds((earliest - sent).mean(), (stamped - sent).mean()),
        gap_ms=Bounds((last - stamped).sum() / tokens, (last - earliest).sum() / tokens),
    )


@dataclass(frozen=True, slots=True)
class Measured:
    """What a tool says of one run, and the server of the same requests; means over requests in ms."""

    tpot_ms: float
    vllm_tpot_ms: float
    median_tpot_ms: float
    ttft_ms: float
    latency_ms: float
    server_tpot_ms: float
    server_ttft_ms: float
    output_tokens: int
    gap_ms: Bounds | None = None


class Comparison:
    """The same load by benchkit and by ``vllm bench serve``, in turns.

    Args:
        url: The server.
        model: Its name there.
        bench: Runs ``vllm bench serve`` with arguments and gives its detailed result.
        scrape: Reads the server's counters and sums.
        folder: For results.
    """

    streams, requests, input_tokens, output_tokens = 4, 24, 128, 128

    def __init__(
        self,
        url: str,
        model: str,
        bench: Callable[[list[str]], dict[str, Any]],
        scrape: Callable[[], dict[str, float]],
        folder: Path,
    ) -> None:
        self._url, self._model, self._bench, self._scrape, self._folder = url, model, bench, scrape, folder
        self.ours: list[Measured] = []
        self.theirs: list[Measured] = []

    @property
    def rounds(self) -> int:
        """How many there were."""
        return len(self.theirs)

    def run_round(self) -> None:
        """One run of each; prompts that no run before had, since a warm prefix cache would answer."""
        self.ours.append(self._run_benchkit(seed=100 + self.rounds))
        self.theirs.append(self._run_vllm(seed=200 + self.rounds))

    def ratio(self, name: str) -> float:
        """Median over our runs / median over theirs."""
        ours, theirs = self._columns(name)
        return statistics.median(ours) / statistics.median(theirs)

    def is_even(self) -> bool:
        """Whether both tools met the same server, and vLLM's own client was not kept from it."""
        told = statistics.median(run.tpot_ms / run.server_tpot_ms for run in self.theirs)
        return max(abs(self.ratio("server_tpot_ms") - 1), abs(told - 1)) <= EVEN

    def __str__(self) -> str:
        load = f"{self.requests} requests of {self.input_tokens} + {self.output_tokens} tokens"
        lines = [
            f"benchkit and vllm bench serve in turns, {load}, {self.streams} at a time: means in ms by run"
        ]
        for name, title in _TITLES.items():
            ours, theirs = (" ".join(f"{value:8.2f}" for value in column) for column in self._columns(name))
            lines.append(
                f"  {title:22} benchkit {ours}   vllm {theirs}   ratio of medians {self.ratio(name):.3f}"
            )
        even = "even" if self.is_even() else "NOT even: the ratios tell of it, not of the tools"
        return "\n".join([*lines, f"  the machine was {even}"])

    def _columns(self, name: str) -> tuple[list[float], list[float]]:
        return [getattr(run, name) for run in self.ours], [getattr(run, name) for run in self.theirs]

    def _run_benchkit(self, seed: int) -> Measured:
        # No warm-up: as in the other tool, all streams start at once and stay together.
        run = benchkit.run(
            url=self._url,
            endpoint="completions",
            concurrency=self.streams,
            warmup_s=0.0,
            duration_s=0.0,
            requests=self.requests,
            input_tokens=self.input_tokens,
            output_tokens=self.output_tokens,
            seed=seed,
            out=str(self._folder),
        )
        assert list(run.requests.outcome) == ["ok"] * self.requests
        samples = samples_of(run)
        ours = per_request(run.requests, run.stored.chunks)
        theirs = per_request(run.requests, run.stored.chunks, definition="vllm")
        return Measured(
            tpot_ms=ours.tpot_ms.mean(),
            vllm_tpot_ms=theirs.tpot_ms.mean(),
            median_tpot_ms=ours.tpot_ms.median(),
            ttft_ms=theirs.ttft_ms.mean(),
            latency_ms=theirs.latency_ms.mean(),
            server_tpot_ms=server_mean(samples, TPOT).mean,
            server_ttft_ms=server_mean(samples, TTFT).mean,
            output_tokens=int(run.requests.output_tokens.sum()),
            gap_ms=first_tokens(run).gap_ms,
        )

    def _run_vllm(self, seed: int) -> Measured:
        arguments = {
            "backend": "openai",
            "model": vllm.make_tiny_model(vllm.interpreter()),
            "served-model-name": self._model,
            "base-url": self._url,
            "num-prompts": self.requests,
            "max-concurrency": self.streams,
            "dataset-name": "random",
            "random-input-len": self.input_tokens,
            "random-output-len": self.output_tokens,
            "temperature": 0,
            "seed": seed,
            "result-dir": self._folder,
            "result-filename": f"vllm-{seed}.json",
        }
        flags = ["--ignore-eos", "--save-result", "--save-detailed", "--disable-tqdm"]
        before = self._scrape()
        result = self._bench([*(f"--{name}={value}" for name, value in arguments.items()), *flags])
        after = self._scrape()

        def server(name: str) -> float:
            count, total = (after[f"{name}_{what}"] - before[f"{name}_{what}"] for what in ("count", "sum"))
            assert count == self.requests
            return 1e3 * total / count

        assert result["completed"] == self.requests
        return Measured(
            tpot_ms=result["mean_tpot_ms"],
            vllm_tpot_ms=result["mean_tpot_ms"],
            median_tpot_ms=result["median_tpot_ms"],
            ttft_ms=result["mean_ttft_ms"],
            latency_ms=1e3 * statistics.mean(result["latencies"]),
            server_tpot_ms=server(TPOT),
            server_ttft_ms=server(TTFT),
            output_tokens=result["total_output_tokens"],
        )
