"""Intended times: their number, spacing and distribution."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from benchkit.plan import arrivals
from benchkit.plan.randomness import Purpose, Stream

S = 1_000_000_000


def _stream(seed):
    return Stream(seed, 0, "window", Purpose.TIMES)


def _dispersion(times_ns, bins, length_ns):
    counts = np.histogram(times_ns, bins=bins, range=(0, length_ns))[0]
    return counts.var(ddof=1) / counts.mean()


@pytest.mark.parametrize(
    ("rate", "before_ns", "count", "after_ns", "expected"),
    [
        (4.0, S, None, 0, [0, S // 4, S // 2, 3 * S // 4]),
        (4.0, S, 2, 0, [0, S // 4]),
        (4.0, None, 3, 0, [0, S // 4, S // 2]),
        (3.0, S, None, 0, [0, 333_333_333, 666_666_667]),
        (0.5, S, None, 0, [0]),
        (0.3, 4 * S, None, 3 * S, [333_333_333, 3_666_666_667]),
        (10.0, S // 5, None, S, [0, S // 10]),
        (1.0, 0, None, 0, []),
        (2.0, S, 0, 0, []),
    ],
)
def test_constant(rate, before_ns, count, after_ns, expected):
    """A constant rate gives the comb i / rate, cut by time and number, going on after a warm-up."""
    found = arrivals.constant(rate, before_ns=before_ns, count=count, after_ns=after_ns)
    assert found.dtype == np.int64
    assert found.tolist() == expected


@given(rate=st.floats(0.01, 2000), warmup_ms=st.integers(0, 5000), length_ms=st.integers(1, 2000))
@settings(deadline=None)
def test_constant_has_no_seam(rate, warmup_ms, length_ms):
    """Warm-up and window together are the comb of one phase of both lengths."""
    warmup, length = warmup_ms * 1_000_000, length_ms * 1_000_000
    first = arrivals.constant(rate, before_ns=warmup, count=None)
    second = arrivals.constant(rate, before_ns=length, count=None, after_ns=warmup)
    whole = arrivals.constant(rate, before_ns=warmup + length, count=None)
    assert np.concatenate([first, second + warmup]).tolist() == whole.tolist()


@pytest.mark.parametrize("seed", range(20))
def test_poisson_counts_have_dispersion_one(seed):
    """Poisson counts per second: index of dispersion inside its own 99 % interval of 1."""
    bins, length = 300, 300 * S
    times = arrivals.poisson(20.0, _stream(seed), before_ns=length, count=None)
    low, high = stats.chi2.ppf([0.005, 0.995], bins - 1) / (bins - 1)
    assert low < _dispersion(times, bins, length) < high


def test_dispersion_over_many_seeds_is_chi_squared():
    """Over 300 other seeds the index varies just as it does for Poisson counts, neither more nor less."""
    bins, length = 100, 100 * S
    found = [
        _dispersion(arrivals.poisson(20.0, _stream(seed), before_ns=length, count=None), bins, length)
        for seed in range(1000, 1300)
    ]
    assert stats.kstest(np.array(found) * (bins - 1), "chi2", args=(bins - 1,)).pvalue > 0.01


def test_dispersion_tells_other_arrivals_apart():
    """The same statistic rejects constant and bursty arrivals, so it can fail."""
    bins, length = 400, 400 * S
    low, high = stats.chi2.ppf([0.005, 0.995], bins - 1) / (bins - 1)
    even = arrivals.constant(25.0, before_ns=length, count=None)
    bursty = arrivals.gamma(25.0, 0.25, _stream(0), before_ns=length, count=None)
    assert _dispersion(even, bins, length) < low
    assert _dispersion(bursty, bins, length) > high


def test_poisson_gaps_are_exponential():
    """Gaps between Poisson arrivals are exponential and do not depend on the one before."""
    times = arrivals.poisson(1000.0, _stream(1), before_ns=None, count=50_000)
    gaps = np.diff(times, prepend=0) / S
    assert stats.kstest(gaps, "expon", args=(0, 1 / 1000)).pvalue > 0.01
    assert abs(stats.spearmanr(gaps[1:], gaps[:-1]).statistic) < 2.6 / np.sqrt(len(gaps))


def test_poisson_number_is_not_rescaled():
    """The number of arrivals in a fixed time has the variance over seeds of a Poisson count: its mean."""
    counts = [len(arrivals.poisson(20.0, _stream(seed), before_ns=5 * S, count=None)) for seed in range(400)]
    assert np.mean(counts) == pytest.approx(100, abs=2.6 * 10 / np.sqrt(400))
    low, high = stats.chi2.ppf([0.005, 0.995], 399) / 399
    assert low < np.var(counts, ddof=1) / 100 < high


@pytest.mark.parametrize("shape", [0.25, 0.5, 1.0, 1.5, 4.0, 25.0])
def test_gamma_mean_and_shape(shape):
    """Gamma gaps have mean 1 / rate, squared coefficient of variation 1 / shape, and that distribution."""
    rate, n = 50.0, 40_000
    times = arrivals.gamma(rate, shape, _stream(3), before_ns=None, count=n)
    gaps = np.diff(times, prepend=0) / S
    assert gaps.mean() == pytest.approx(1 / rate, rel=2.6 / np.sqrt(n * shape))
    fitted = stats.gamma.fit(np.maximum(gaps, 1e-9), floc=0)[0]
    assert fitted == pytest.approx(shape, rel=0.03)
    assert gaps.var() / gaps.mean() ** 2 == pytest.approx(1 / shape, rel=0.06)
    cumulative = stats.gamma.cdf([*gaps, 1e-6], shape, 0, 1 / rate / shape)
    above = cumulative[cumulative > cumulative[-1]]  # below a microsecond, whole nanoseconds are coarse
    assert stats.kstest((above - cumulative[-1]) / (1 - cumulative[-1]), "uniform").pvalue > 0.01


def test_smallest_shape_ends():
    """The burstiest arrivals that parameters allow, whose gaps are mostly 0 ns, still end at their number."""
    times = arrivals.gamma(10.0, 0.01, _stream(0), before_ns=None, count=5000)
    assert len(times) == 5000
    assert np.all(np.diff(times) >= 0)


@given(
    shape=st.floats(0.05, 50),
    rate=st.floats(0.1, 3000),
    seed=st.integers(0, 2**62),
    lengths=st.tuples(st.integers(0, 3 * S), st.integers(0, 3 * S)).map(sorted),
    count=st.none() | st.integers(0, 5000),
)
@settings(deadline=None, max_examples=60)
def test_random_arrivals(shape, rate, seed, lengths, count):
    """Times ascend inside the phase, their number is kept, and a longer plan begins with the shorter one."""
    for draw in (
        lambda before: arrivals.gamma(rate, shape, _stream(seed), before_ns=before, count=count),
        lambda before: arrivals.poisson(rate, _stream(seed), before_ns=before, count=count),
    ):
        short, long = draw(lengths[0]), draw(lengths[1])
        assert short.dtype == np.int64
        assert np.all(np.diff(short) >= 0)
        assert np.all((short >= 0) & (short < lengths[0]))
        assert count is None or len(short) <= count
        assert long[: len(short)].tolist() == short.tolist()


def test_times_without_an_end_are_refused():
    """Arrivals that neither time nor number ends are refused instead of filling the memory."""
    with pytest.raises(ValueError, match="need an end"):
        arrivals.poisson(1.0, _stream(0), before_ns=None, count=None)
    with pytest.raises(ValueError, match="need an end"):
        arrivals.constant(1.0, before_ns=None, count=None)
