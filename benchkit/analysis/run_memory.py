"""How many requests of a run lie between two that know nothing of each other: its memory."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from benchkit.analysis.measured import Measured

Floats = NDArray[np.float64]

_MOST_TERMS = 20
_SHORTEST = 20


def memory_of(measured: Measured) -> float:
    """The memory of a run in requests, at least 1: the largest of those of TTFT, TPOT and requests in flight.

    One number serves all metrics of a run: random lengths of answers hide in a latency the memory that its queue has.
    """
    return memory(values for _, values in remembering(measured))


def remembering(measured: Measured) -> list[tuple[Floats, Floats]]:
    """The series that a run's memory is read from, in the order in which requests were sent: when, and what."""
    columns = measured.columns
    order = np.argsort(columns.sent, kind="stable")
    order = order[~np.isnan(columns.sent[order])]
    counted = order[columns.in_phase[order]]
    series = [measured.values[name][counted] for name in ("ttft_ms", "tpot_ms")]
    series.append(_in_flight_at_sends(columns.sent[order], columns.end[order])[columns.in_phase[order]])
    times = columns.sent[counted]
    return [(times[~np.isnan(each)], each[~np.isnan(each)]) for each in series]


def _in_flight_at_sends(sent: Floats, end: Floats) -> Floats:
    """Requests under way when each one is sent; those whose end was not seen stay under way."""
    ended = np.sort(end[~np.isnan(end)])
    return np.arange(sent.size, dtype=np.float64) - np.searchsorted(ended, sent)


def memory(series: Iterable[Floats]) -> float:
    """The largest integrated autocorrelation time of some series, in elements; at least 1, at most their length.

    Each is taken on normal scores, so that a heavy tail does not decide, by two estimates of which the larger counts:
    the spectrum at zero of an autoregression whose order AIC chooses, and Geyer's initial monotone sequence (1992).
    """
    return max((memory_of_scores(normal_scores(each)) for each in series), default=1.0)


def normal_scores(values: Floats) -> Floats:
    """Each value as the quantile of a normal distribution at its rank; equal ones have the same."""
    scores: Floats = special.ndtri((stats.rankdata(values) - 0.5) / max(values.size, 1))
    return scores


def memory_of_scores(scores: Floats) -> float:
    """As ``memory``, of one series that is taken as it stands."""
    if scores.size < _SHORTEST or np.ptp(scores) == 0:
        return 1.0
    covariances = autocovariances(scores)
    return float(min(scores.size, max(1.0, _autoregressive(covariances, scores.size), _geyer(covariances))))


def autocovariances(values: Floats) -> Floats:
    """At lags 0, 1, ..., divided by the length at every lag, so that they are those of some process."""
    size = 1 << (2 * values.size - 1).bit_length()
    spectrum = np.fft.rfft(values - values.mean(), size)
    products: Floats = np.fft.irfft(spectrum * spectrum.conj(), size)[: values.size]
    return products / values.size


def _autoregressive(covariances: Floats, count: int) -> float:
    """By Levinson's recursion up to order 20; the variance of the mean in units of that of independent values."""
    variance = float(covariances[0])
    weights = np.empty(0)
    best, found = count * np.log(variance), 1.0
    for order in range(1, min(_MOST_TERMS, count // 10) + 1):
        reflection = (covariances[order] - weights @ covariances[order - 1 : 0 : -1]) / variance
        weights = np.append(weights - reflection * weights[::-1], reflection)
        variance *= 1 - reflection**2
        if variance <= 0:
            break
        criterion = count * np.log(variance) + 2 * order
        if criterion < best:
            best = criterion
            found = variance / ((1 - weights.sum()) ** 2 * covariances[0])
    return float(found)


def _geyer(covariances: Floats) -> float:
    """Twice the sum of adjacent pairs of autocorrelations, as long as they stay positive, never rising, less 1."""
    pairs = covariances[: covariances.size // 2 * 2].reshape(-1, 2).sum(axis=1) / covariances[0]
    ends = np.flatnonzero(pairs <= 0)
    kept = np.minimum.accumulate(pairs[: ends[0]] if ends.size else pairs)
    return float(2 * kept.sum() - 1)
