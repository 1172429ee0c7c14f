"""What the charts of how a run's values are distributed found, each in a sentence for its title."""

from __future__ import annotations

from typing import Final

from benchkit.report.distribution import MARKED, Series
from benchkit.report.titles import counted, ms, no_more, span

_LATE: Final = 1.05
"""Times the median from sending from which the median from when it was due belongs in a title."""
_SMALL_MS: Final = 1.0
"""A client that is never later than this is said never to be late; above, it is said how late it was."""


def first_token(series: Series, asked: int, due: Series | None = None) -> str:
    """How long requests waited for their first token.

    Args:
        series: of the requests that had one.
        asked: requests of the window, with or without.
        due: the same from the moment they were due, where that differs.
    """
    n = len(series.sample)
    if n == 1:
        return f"The one request with a first token had it after {ms(float(series.sample[0]))}"
    if not series.resolves("p50"):
        return _few(series, f"{counted(n, 'request')} had a first token after")
    head = (
        "Half of the requests had a first token"
        if n == asked
        else f"Of {n:,} with a first token, half had it"
    )
    return _half(series, f"{head} within", due)


def whole_answer(series: Series, asked: int, due: Series | None = None) -> str:
    """How long whole answers took; arguments as for ``first_token``."""
    n = len(series.sample)
    if n == 1:
        return f"The one answer that ended took {ms(float(series.sample[0]))}"
    if not series.resolves("p50"):
        return _few(series, f"{counted(n, 'answer')} took")
    head = "Half of the answers were whole" if n == asked else f"Of {n:,} answers, half were whole"
    return _half(series, f"{head} within", due)


def flow(gaps: Series, pauses: Series) -> str:
    """How evenly answers came: gaps between chunks, and the longest pause of any answer."""
    n = len(gaps.sample)
    if not n:
        return f"No answer paused for longer than {ms(float(pauses.sample[-1]))}"
    # Requests of which the longest pause is known need not be those whose gaps lie in the window.
    longest = float(max([gaps.sample[-1], *pauses.sample[-1:]]))
    name = gaps.highest or ("p50" if gaps.resolves("p50") else "")
    if n == 1 or not name:
        return f"{counted(n, 'gap')} between chunks, none longer than {no_more(longest)} ms"
    value = ms(gaps.at(name), gaps.limits(name))
    share = "Half" if name == "p50" else f"{100 * MARKED[name]:.0f} %"
    # What is rounded to the same digits is no news.
    rest = (
        f"; the longest lasted {ms(longest)}" if longest > 1.2 * gaps.at(name) else ", and none much longer"
    )
    return f"{share} of the gaps between chunks are within {value}{rest}"


def trust(late: Series, lag: Series) -> str:
    """How late the client was, in sending and in reading."""
    worst = {
        what: float(series.sample[-1])
        for what, series in (("sent", late), ("read", lag))
        if len(series.sample)
    }
    most = max(worst.values())
    if most <= _SMALL_MS:
        unknown = "" if len(worst) == 2 else f" where it {next(iter(worst))}"
        return f"The client was never more than {no_more(max(most, 0.0))} ms late{unknown}"
    told = [
        f"{what} up to {ms(value)} late" if value > 0 else f"{what} on time" for what, value in worst.items()
    ]
    usual = [series for series in (late, lag) if series.highest == "p99"]
    often = max((series.at("p99") for series in usual), default=0.0)
    rest = f"; 99 % within {no_more(often)} ms" if len(usual) == len(worst) and often < most / 2 else ""
    return f"The client {' and '.join(told)}{rest}"


def _half(series: Series, head: str, due: Series | None) -> str:
    told = f"{head} {ms(series.at('p50'), series.limits('p50'))}"
    if due is not None and due.at("p50") > _LATE * series.at("p50"):
        return f"{told} of being sent, {ms(due.at('p50'), due.limits('p50'))} of being due"
    tail = series.highest
    if not tail:
        return f"{told}, the slowest took {ms(float(series.sample[-1]))}"
    return f"{told}, {100 * MARKED[tail]:.0f} % within {ms(series.at(tail), series.limits(tail))}"


def _few(series: Series, head: str) -> str:
    """Of a sample that resolves not even its median, its ends."""
    between = span(ms(float(series.sample[0])), ms(float(series.sample[-1])))
    return f"{head} {between}: too few independent ones to tell what is usual"
