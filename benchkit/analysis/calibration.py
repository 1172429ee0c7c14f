"""Fits the step-time model of a simulated engine to what was measured of a real one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.optimize import nnls

from benchkit.errors import CalibrationError

_Floats = npt.NDArray[np.float64]
_Rows = npt.NDArray[np.int64]
STEP_COLUMNS = {
    "step_base_us": "",
    "step_prefill_us_per_token": "paid",
    "step_decode_us_per_request": "decoding_requests",
    "step_kv_us_per_token": "kv_tokens",
    "step_attention_us_per_pair": "pairs",
    "step_mixed_us_per_pair": "mixed",
}
"""Setting -> the column of the steps that it multiplies; ``paid`` are the prompt tokens beyond the free ones."""
_SOFT = 0.05
"""Relative residuals beyond this count less and less: pauses of the machine are not the model's."""
_ROUNDS = 25
_SETTLED = 1e-4
"""Relative change of the coefficients at which reweighting ends."""
_RIDGE = 1e-12
"""Of the trace: columns that are alike must not break the decomposition."""
_NOTHING = 1e-9
_CLEARLY = 0.97
"""Share of the loss without free tokens that a fit with some must come below."""
_UNSURE = 0.025
"""Share of the bootstrap's draws that may be 0 before the coefficient is."""
_LEAST_STEPS = 60
_BLOCK = 20
"""Neighbouring steps that the bootstrap keeps together: they share what the machine did."""
_RESAMPLES = 200
_ALIKE = 1.5
"""Prompts of requests alone must differ by this factor: else what a token takes cannot be told from the rest."""
_NEEDED = frozenset({"step_base_us", "step_prefill_us_per_token", "stream_us"})
"""Settings that are kept however small they are."""


@dataclass(frozen=True, slots=True)
class Fit:
    """What was fitted.

    Attributes:
        settings: setting of the embedded server -> its value.
        intervals: the same -> its 95 % interval, by a bootstrap over blocks of steps and over requests.
        steps: how many steps the fit rests on.
        residual: median size of a step's relative residual.
        unidentified: settings that these loads say nothing of, set to 0, with the reason.
    """

    settings: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float]]
    steps: int
    residual: float
    unidentified: Mapping[str, str]


def fit(steps: pd.DataFrame, alone: pd.DataFrame, *, max_num_batched_tokens: int, seed: int = 0) -> Fit:
    """The settings of an engine that behaves like the measured one.

    Least squares on relative residuals, robust (soft L1, by reweighting), with no coefficient below 0, over two kinds
    of rows at once: steps, and requests that were alone, whose TTFT is the steps of their prefill and what the front
    end takes. Steps that only decode, steps that also prefill, and requests alone weigh the same in all. What sending
    takes comes from the spread of the tokens of one step, the jitter from the residuals of steps that only decode.

    A coefficient that the bootstrap cannot tell from 0 is set to 0, the least sure first, and the rest fitted anew:
    kept at a small value above 0 it would take from the others what is theirs. Intervals span those of all these fits,
    since which coefficients are there is itself not sure.

    Args:
        steps: of all loads, ``engine_steps.steps_of``.
        alone: requests that were alone in the server: ``prompt_tokens``, ``ttft_us``.
        max_num_batched_tokens: the server's budget.
        seed: of the bootstrap.

    Raises:
        CalibrationError: too few steps or requests, or loads that do not differ.
    """
    if len(steps) < _LEAST_STEPS:
        raise CalibrationError(
            f"only {len(steps)} steps could be told apart, {_LEAST_STEPS} are needed: send longer answers, or more"
        )
    shortest, longest = alone.prompt_tokens.min(), alone.prompt_tokens.max()
    if not longest >= _ALIKE * shortest:
        raise CalibrationError(
            f"requests that are alone have prompts of {shortest:.0f} to {longest:.0f} tokens only: run a "
            "synchronous load with others"
        )
    everything = np.arange(len(steps)), np.arange(len(alone))
    rows = _corner(steps, alone, max_num_batched_tokens)
    intervals: dict[str, tuple[float, float]] = {}
    while True:
        random = np.random.default_rng(seed)
        draws = pd.DataFrame(
            [
                rows.solve(_blocks(random, len(steps)), random.integers(0, len(alone), len(alone)))[0]
                for _ in range(_RESAMPLES)
            ]
        )
        low, high = draws.quantile(0.025), draws.quantile(0.975)
        for name in map(str, draws.columns):
            widest = intervals.get(name, (math.inf, -math.inf))
            intervals[name] = (min(widest[0], float(low[name])), max(widest[1], float(high[name])))
        unsure = draws.drop(columns=[*_NEEDED]).le(_NOTHING).mean()
        if not len(unsure) or unsure.max() < _UNSURE:
            break
        rows.leave_out(str(unsure.idxmax()), "these loads do not tell it from 0")
    settings, residuals = rows.solve(*everything)
    plain = residuals[: len(steps)][rows.kind[: len(steps)] == 0]
    jitter = 1.4826 * float(np.median(np.abs(plain - np.median(plain)))) if len(plain) else 0.0
    return Fit(
        settings=settings
        | dict.fromkeys(rows.unidentified, 0.0)
        | {"step_free_tokens": rows.free, "jitter": min(1.0, jitter)},
        intervals=intervals,
        steps=len(steps),
        residual=float(np.median(np.abs(residuals[: len(steps)]))),
        unidentified=rows.unidentified,
    )


def _corner(steps: pd.DataFrame, alone: pd.DataFrame, budget: int) -> _Design:
    """The design with as many free tokens as fit best; with none, unless some fit clearly better."""
    most = alone.prompt_tokens.max() / 2
    candidates = [0.0, *(free for free in 8 * 1.2 ** np.arange(40) if free < most)]
    designs = [_Design(steps, alone, budget, round(float(free))) for free in candidates]
    losses = [design.loss() for design in designs]
    best = int(np.argmin(losses))
    return designs[best if losses[best] < _CLEARLY * losses[0] - _NOTHING else 0]


class _Design:
    """The rows of the regression.

    Attributes:
        kind: of each row: 0 a step that only decodes, 1 one that also prefills, 2 a request alone.
        unidentified: settings of which the rows say nothing.
        free: tokens of a step that cost nothing of their own.
    """

    def __init__(self, steps: pd.DataFrame, alone: pd.DataFrame, budget: int, free: float) -> None:
        self.free = free
        room = np.maximum(0.0, free - steps.decoding_requests)
        steps = steps.assign(
            mixed=steps.prefill_tokens * steps.decoding_requests,
            paid=np.maximum(0.0, steps.prefill_tokens - room),
        )
        prompts = alone.prompt_tokens.to_numpy(dtype=float)
        paid = prompts // budget * max(0.0, budget - free) + np.maximum(0.0, prompts % budget - free)
        columns: dict[str, _Floats] = {}
        self.unidentified: dict[str, str] = {}
        for name, column in STEP_COLUMNS.items():
            values = steps[column].to_numpy(dtype=float) if column else np.ones(len(steps))
            of_alone = {
                "step_base_us": np.ceil(prompts / budget),
                "step_prefill_us_per_token": paid,
                "step_attention_us_per_pair": prompts**2 / 2,
            }.get(name, np.zeros(len(prompts)))
            joined = np.concatenate([values, of_alone])
            if column and np.ptp(values) == 0 and not of_alone.any():
                self.unidentified[name] = f"no step differs in its {column}"
            else:
                columns[name] = joined
        nothing = np.zeros(len(steps))
        columns["api_us"] = np.concatenate([nothing, np.ones(len(prompts))])
        columns["api_us_per_prompt_token"] = np.concatenate([nothing, prompts])
        self._names = list(columns)
        self._matrix = np.column_stack(list(columns.values()))
        tokens = steps.tokens.to_numpy(dtype=float)
        self._sending = np.where(tokens > 1, steps.spread_us.to_numpy() / np.maximum(tokens - 1, 1), np.nan)
        self._target = np.concatenate([steps.duration_us, alone.ttft_us]).astype(float)
        mixed = (steps.prefill_tokens > 0).to_numpy().astype(int)
        self.kind = np.concatenate([mixed, np.full(len(prompts), 2)])
        self._steps = len(steps)

    def loss(self) -> float:
        """How badly all rows fit (soft L1 of the relative residuals, the three kinds alike)."""
        _, residuals = self.solve(np.arange(self._steps), np.arange(len(self.kind) - self._steps))
        sizes = np.sqrt(1 + (residuals / _SOFT) ** 2) - 1
        return float(sum(sizes[self.kind == kind].mean() for kind in np.unique(self.kind)))

    def leave_out(self, name: str, why: str) -> None:
        """Takes a setting out of the model: it is 0."""
        at = self._names.index(name)
        del self._names[at]
        self._matrix = np.delete(self._matrix, at, axis=1)
        self.unidentified[name] = why

    def solve(self, steps: _Rows, alone: _Rows) -> tuple[dict[str, float], _Floats]:
        """The settings that some of the rows give, and the relative residuals of these."""
        sending = self._sending[steps]
        sending = sending[np.isfinite(sending)]
        stream_us = float(np.median(sending)) if len(sending) else 0.0
        chosen = np.concatenate([steps, self._steps + alone])
        target = self._target[chosen] - stream_us * (self.kind[chosen] == 2)
        scaled = self._matrix[chosen] / target[:, None]
        size = np.maximum(np.abs(scaled).max(axis=0), 1e-12)
        scaled /= size
        kind = self.kind[chosen]
        counts = np.bincount(kind, minlength=3)
        share = (1 / np.maximum(counts, 1))[kind]
        weight = share
        found = residuals = np.zeros(scaled.shape[1])
        for _ in range(_ROUNDS):
            # Normal equations: the same least squares in as many rows as there are coefficients.
            weighted = scaled * weight[:, None]
            gram = weighted.T @ scaled
            root = np.linalg.cholesky(gram + _RIDGE * np.trace(gram) * np.eye(len(gram)))
            before = found
            found, _norm = nnls(root.T, np.linalg.solve(root, weighted.sum(axis=0)))
            residuals = scaled @ found - 1
            weight = share / np.sqrt(1 + (residuals / _SOFT) ** 2)
            if np.abs(found - before).max() < _SETTLED * np.abs(found).max():
                break
        settings = dict(zip(self._names, map(float, found / size), strict=True))
        return settings | {"stream_us": stream_us}, np.asarray(residuals)


def _blocks(random: np.random.Generator, count: int) -> _Rows:
    """Rows of a resample by blocks of neighbours."""
    starts = random.integers(0, max(1, count - _BLOCK), -(-count // _BLOCK))
    rows = (starts[:, None] + np.arange(min(_BLOCK, count))).ravel()[:count]
    return np.asarray(np.minimum(rows, count - 1), dtype=np.int64)
