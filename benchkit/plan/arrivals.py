"""Intended times of an open loop: constant, Poisson and gamma arrivals as integer arrays, without a clock.

Times are nanoseconds since the phase's start. The gaps are rounded one by one and then added up as integers:
the sum has no drift, and another machine's logarithm, which may differ in its last bit, gives the same plan.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from benchkit.plan.randomness import Stream

Times = npt.NDArray[np.int64]
Gaps = npt.NDArray[np.float64]

NS_PER_S = 1_000_000_000
_BLOCK = 4096


def constant(rate: float, *, before_ns: int | None, count: int | None, after_ns: int = 0) -> Times:
    """Evenly spaced times, ``i / rate`` for the whole numbers i that fall at or after ``after_ns``.

    Args:
        rate: arrivals per second, above 0.
        before_ns: the phase's length; None for no limit of time.
        count: how many at most; None for no limit of number.
        after_ns: where on one endless comb this phase begins: a window that follows a warm-up goes on in its
            rhythm, without a short or a long gap at the seam.

    Raises:
        ValueError: neither ``before_ns`` nor ``count`` ends the plan.
    """
    _check_bounded(before_ns, count)
    first = _comb_index(after_ns, rate)
    last = first + count if count is not None else _comb_index(after_ns + (before_ns or 0), rate)
    if before_ns is not None:
        last = min(last, _comb_index(after_ns + before_ns, rate))
    index = np.arange(first, max(first, last), dtype=np.float64)
    return np.rint(index * (NS_PER_S / rate)).astype(np.int64) - after_ns


def poisson(rate: float, stream: Stream, *, before_ns: int | None, count: int | None) -> Times:
    """Times of a Poisson process: independent exponential gaps of mean ``1 / rate``, by inversion.

    A longer plan begins with the shorter one. Arguments and errors as in ``constant``.
    """

    def gaps(block: int) -> Gaps:
        uniform: Gaps = stream.uniform(block, _BLOCK)
        return -np.log(uniform)

    return _renewal(gaps, NS_PER_S / rate, before_ns=before_ns, count=count)


def gamma(rate: float, shape: float, stream: Stream, *, before_ns: int | None, count: int | None) -> Times:
    """Times of a renewal process with gamma gaps of mean ``1 / rate`` and the given shape.

    Shape 1 is Poisson, below 1 burstier, above 1 more even; the gaps' squared coefficient of variation is
    1 / shape. The gaps are used as drawn: they are not rescaled to fit the window, so counts keep their
    dispersion. Arguments and errors as in ``constant``.
    """

    def gaps(block: int) -> Gaps:
        return _standard_gamma(shape, stream, block) / shape

    return _renewal(gaps, NS_PER_S / rate, before_ns=before_ns, count=count)


def _standard_gamma(shape: float, stream: Stream, block: int) -> Gaps:
    """Gamma variates of scale 1, as many as one block of candidates gives.

    Marsaglia and Tsang, "A simple method for generating gamma variables" (2000), on normals by Box and
    Muller. A shape below 1 is drawn at shape + 1 and multiplied by U^(1/shape), as the paper says.
    """
    u_radius, u_angle, u_accept, u_boost = stream.uniform(block, 4 * _BLOCK).reshape(4, _BLOCK)
    boosted = shape + 1.0 if shape < 1.0 else shape
    d = boosted - 1.0 / 3.0
    normal = np.sqrt(-2.0 * np.log(u_radius)) * np.cos(2.0 * np.pi * u_angle)
    cube = (1.0 + normal / np.sqrt(9.0 * d)) ** 3
    positive = cube > 0.0
    log_cube = np.log(np.where(positive, cube, 1.0))
    accepted = positive & (np.log(u_accept) < 0.5 * normal**2 + d * (1.0 - cube + log_cube))
    variates: Gaps = d * cube[accepted]
    if shape < 1.0:
        variates = variates * u_boost[accepted] ** (1.0 / shape)
    return variates


def _renewal(
    gaps: Callable[[int], Gaps], mean_ns: float, *, before_ns: int | None, count: int | None
) -> Times:
    """Running sums of the gaps, block by block, until the phase's length or the number is reached."""
    _check_bounded(before_ns, count)
    blocks: list[Times] = []
    now, have, block = 0, 0, 0
    while (before_ns is None or now < before_ns) and (count is None or have < count):
        times = now + np.cumsum(np.rint(gaps(block) * mean_ns).astype(np.int64))
        blocks.append(times)
        now, have, block = int(times[-1]), have + len(times), block + 1
    times = np.concatenate(blocks) if blocks else np.zeros(0, dtype=np.int64)
    if before_ns is not None:
        times = times[: np.searchsorted(times, before_ns, side="left")]
    return times if count is None else times[:count]


def _comb_index(time_ns: int, rate: float) -> int:
    """The first whole number i whose time, rounded to ns, is not before ``time_ns``."""
    step = NS_PER_S / rate
    i = max(0, int(time_ns / step) - 1)
    while round(i * step) < time_ns:
        i += 1
    return i


def _check_bounded(before_ns: int | None, count: int | None) -> None:
    if before_ns is None and count is None:
        msg = "arrivals need an end: a length in time or a number"
        raise ValueError(msg)
